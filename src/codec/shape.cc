#include "mephisto/codec/shape.h"

namespace mephisto::json {

std::string wire_type(const Shape& shape) {
  switch (shape.kind) {
    case Kind::kOptional: return wire_type(*static_cast<const OptionalShape&>(shape).held);
    case Kind::kMap: return "dict of " + wire_type(*static_cast<const MapShape&>(shape).mapped);
    case Kind::kList: return "list of " + wire_type(*static_cast<const ListShape&>(shape).element);
    case Kind::kDuration: return "seconds";
    case Kind::kTuple: return "list";
    case Kind::kBool: return "bool";
    case Kind::kInteger: return "int";
    case Kind::kFloat:
    case Kind::kDouble: return "float";
    case Kind::kText: return "str";
    case Kind::kTime: return "datetime";
    default: return std::string{shape.type};
  }
}

}  // namespace mephisto::json

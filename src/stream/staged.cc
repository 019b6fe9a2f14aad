#include "mephisto/stream/staged.h"

namespace mephisto::detail {

StagedWriter::StagedWriter(Buffer& to, const StagedRecord& record, std::span<const Header> headers)
    : to_(to), start_(to.size()) {
  head_.record = record;
  to_.commit(to_.room(sizeof head_) + sizeof head_);  // end() fills it
  if (record.key) to_.append(*record.key);
  const auto before = to_.size();
  for (const auto& header : headers) put_header(to_, header.name, header.value);
  head_.header_bytes = to_.size() - before;
  value_ = to_.size();
}

}  // namespace mephisto::detail

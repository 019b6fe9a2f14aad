// Windows whose values have a type. The value is stored as JSON, so a type may gain fields (json_types.h).
//
//   struct Totals { std::int64_t count = 0; double sum = 0; };
//   auto windows = Windows{spec, typed_aggregator<Totals>([](Totals& totals, const WindowRecord& record) { … })};
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mephisto/codec/json_read.h"
#include "mephisto/codec/json_write.h"
#include "mephisto/table/window.h"

namespace mephisto {

// The value of a result or of Windows::read. Throws Failure (kDecode) if the stored value is not a V.
template <class V>
V window_value(std::string_view aggregate) {
  return value_or_throw(from_json<V>(aggregate));
}

template <class V>
void write_window_value(const V& value, std::string& aggregate) {
  static thread_local Buffer bytes;
  bytes.clear();
  json::write(bytes, value, Dialect::kOrjson);
  aggregate.assign(bytes.view());
}

// `initial` is the value of a window without records. Sessions need `merge`.
template <class V>
Aggregator typed_aggregator(std::function<void(V&, const WindowRecord&)> add,
                            std::function<void(V&, const V& later)> merge = nullptr, V initial = {}) {
  Aggregator aggregator;
  aggregator.init = [text = to_json(initial)] { return text; };
  aggregator.add = [add = std::move(add)](std::string& aggregate, const WindowRecord& record) {
    auto value = window_value<V>(aggregate);
    add(value, record);
    write_window_value(value, aggregate);
  };
  if (merge) {
    aggregator.merge = [merge = std::move(merge)](std::string& aggregate, std::string_view later) {
      auto value = window_value<V>(aggregate);
      merge(value, window_value<V>(later));
      write_window_value(value, aggregate);
    };
  }
  return aggregator;
}

}  // namespace mephisto

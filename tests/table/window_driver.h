// Runs cases of the oracle and random ones through our windows, with the oracle's aggregate: count and sum.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <string>
#include <vector>

#include "mephisto/base/ids.h"
#include "table/map_state.h"
#include "table/oracle.h"

namespace mephisto::oracle {

// As text: `COUNT SUM`. A null counts as one with sum 0, as in the oracle.
struct CountAndSum {
  std::int64_t count = 0;
  std::int64_t sum = 0;

  static CountAndSum of(std::string_view text) {
    CountAndSum value;
    const auto space = text.find(' ');
    std::from_chars(text.data(), text.data() + space, value.count);
    std::from_chars(text.data() + space + 1, text.data() + text.size(), value.sum);
    return value;
  }
  std::string text() const { return fmt::format("{} {}", count, sum); }
};

inline Aggregator count_and_sum() {
  return {.init = [] { return CountAndSum{}.text(); },
          .add =
              [](std::string& aggregate, const WindowRecord& record) {
                auto all = CountAndSum::of(aggregate);
                ++all.count;
                if (record.value) all.sum += std::stoll(std::string{*record.value});
                aggregate = all.text();
              },
          .merge =
              [](std::string& aggregate, std::string_view later) {
                auto all = CountAndSum::of(aggregate);
                const auto more = CountAndSum::of(later);
                aggregate = CountAndSum{all.count + more.count, all.sum + more.sum}.text();
              }};
}

// Windows with a state, and all that came out of them.
class Driver {
 public:
  explicit Driver(WindowSpec spec, Aggregator aggregator = count_and_sum())
      : spec_(std::move(spec)), aggregator_(std::move(aggregator)), windows_(spec_, aggregator_) {}

  void add(std::string_view key, std::optional<std::int64_t> value, std::int64_t time) {
    const auto text = value ? std::optional{std::to_string(*value)} : std::nullopt;
    windows_.add(state_, {key, text, time}, sink_);
    ++record_;
  }
  void close_idle(std::int64_t now) { windows_.close_idle(state_, now, sink_); }
  void flush() { windows_.flush(state_, sink_); }
  // Another object goes on with the state.
  void restart() { windows_ = Windows{spec_, aggregator_}; }

  // What came out since the last call.
  std::vector<Output> take() { return std::exchange(outputs_, {}); }
  std::vector<std::pair<std::int64_t, WindowBounds>> take_late() { return std::exchange(late_, {}); }
  Windows::Progress progress() { return windows_.progress(state_); }
  MapState& state() { return state_; }
  const Windows& windows() const { return windows_; }

 private:
  WindowSpec spec_;
  Aggregator aggregator_;
  Windows windows_;
  MapState state_;
  std::int64_t record_ = 0;
  std::vector<Output> outputs_;
  std::vector<std::pair<std::int64_t, WindowBounds>> late_;  // the time of the record, and the window
  WindowSink sink_{
      .result =
          [this](const WindowResult& result) {
            Json value;
            if (result.value) {
              const auto all = CountAndSum::of(*result.value);
              value.text = fmt::format(R"({{"count":{},"sum":{}}})", all.count, all.sum);
            }
            outputs_.push_back({record_, std::string{result.key}, result.window.start, result.window.end,
                                std::move(value), result.time});
          },
      .late = [this](const WindowRecord& record, WindowBounds window) { late_.emplace_back(record.time, window); }};
};

}  // namespace mephisto::oracle

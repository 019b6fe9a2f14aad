// Windows in the plainest form, to test ours against: nothing is ever forgotten, everything is searched. The value of a
// window is the list of its records in the order of their arrival.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "mephisto/base/ids.h"
#include "mephisto/table/window.h"

namespace mephisto::reference {

struct Input {
  std::string key;
  std::int64_t time;
};

// `records` are the numbers of inputs. A retraction has none.
struct Result {
  std::size_t after;
  std::string key;
  WindowBounds window;
  std::vector<std::size_t> records;
  std::int64_t time;
  auto operator<=>(const Result&) const = default;
};

inline void PrintTo(const Result& result, std::ostream* out) {
  *out << "after " << result.after << " " << result.key << "[" << result.window.start << "," << result.window.end
       << "] =";
  for (const auto record : result.records) *out << " " << record;
  *out << " @" << result.time;
}

// Inputs that mostly go on, jump at times, and are late at times. Many are at edges.
inline std::vector<Input> random_inputs(Random& random, std::size_t count, std::int64_t latest, std::int64_t from = 0) {
  std::vector<Input> inputs;
  auto now = from;
  for (std::size_t i = 0; i < count; ++i) {
    const auto chance = random.below(20);
    if (chance < 9) now += static_cast<std::int64_t>(random.below(6));
    if (chance == 9) now += static_cast<std::int64_t>(random.below(100));
    const auto back = random.below(3) == 0 ? static_cast<std::int64_t>(random.below(latest + 1)) : 0;
    inputs.push_back({std::string(1, static_cast<char>('a' + random.below(3))), std::max(now - back, from)});
  }
  return inputs;
}

// What our windows make of inputs. `restart_after`: another object goes on after that input.
inline std::vector<Result> ours(const WindowSpec& spec, const std::vector<Input>& inputs, detail::StateView& state,
                                std::optional<std::size_t> restart_after = std::nullopt,
                                std::vector<std::pair<std::size_t, WindowBounds>>* late = nullptr) {
  const auto list = [](std::string_view text) {
    std::vector<std::size_t> numbers;
    for (std::size_t at = 0; at < text.size(); at = text.find(' ', at) + 1)
      numbers.push_back(std::stoull(std::string{text.substr(at)}));
    return numbers;
  };
  const Aggregator appended{
      .init = [] { return std::string{}; },
      .add = [](std::string& aggregate, const WindowRecord& record) { (aggregate += *record.value) += ' '; },
      .merge = [](std::string& aggregate, std::string_view later) { aggregate += later; }};
  std::vector<Result> results;
  std::size_t number = 0;
  const WindowSink sink{
      .result =
          [&](const WindowResult& result) {
            results.push_back({number, std::string{result.key}, result.window,
                               result.value ? list(*result.value) : std::vector<std::size_t>{}, result.time});
          },
      .late =
          [&](const WindowRecord&, WindowBounds window) {
            if (late) late->emplace_back(number, window);
          }};
  auto windows = std::make_unique<Windows>(spec, appended);
  for (const auto& input : inputs) {
    windows->add(state, {input.key, std::to_string(number), input.time}, sink);
    if (restart_after == number) windows = std::make_unique<Windows>(spec, appended);
    ++number;
  }
  return results;
}

// The final results of regular windows: of all records that came before end + grace, by end, key and start.
inline std::vector<Result> regular_finals(const std::vector<Input>& inputs, std::int64_t size, std::int64_t advance,
                                          std::int64_t grace) {
  std::map<std::tuple<std::int64_t, std::string, std::int64_t>, Result> open;
  std::vector<Result> finals;
  auto now = INT64_MIN;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto& [key, time] = inputs[i];
    now = std::max(now, time);
    for (auto start = time - size + 1; start <= time; ++start) {
      if (start % advance != 0 || (start < 0 && time >= 0) || start + size + grace <= now) continue;
      auto& window =
          open.try_emplace({start + size, key, start}, Result{i, key, {start, start + size}, {}, time}).first->second;
      window.records.push_back(i);
      window.time = std::max(window.time, time);
    }
    while (!open.empty() && std::get<0>(open.begin()->first) + grace <= now) {
      finals.push_back(open.begin()->second);
      finals.back().after = i;
      open.erase(open.begin());
    }
  }
  return finals;
}

// The results of sessions on update, if no session is ever forgotten.
inline std::vector<Result> session_updates(const std::vector<Input>& inputs, std::int64_t gap, std::int64_t grace) {
  std::map<std::string, std::vector<Result>> sessions;
  std::vector<Result> results;
  auto now = INT64_MIN;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto& [key, time] = inputs[i];
    now = std::max(now, time);
    auto& all = sessions[key];
    std::ranges::sort(all, {}, [](const Result& session) { return session.window.end; });
    Result merged{i, key, {time, time}, {}, time};
    std::vector<Result> touched;
    for (const auto& session : all)
      if (session.window.start <= time + gap && session.window.end >= time - gap) touched.push_back(session);
    for (const auto& session : touched) {
      merged.window = {std::min(merged.window.start, session.window.start),
                       std::max(merged.window.end, session.window.end)};
      merged.records.insert(merged.records.end(), session.records.begin(), session.records.end());
    }
    merged.records.push_back(i);
    merged.time = merged.window.end;
    if (merged.window.end + gap + grace < now) continue;
    for (const auto& session : touched) {
      if (merged.window.start != merged.window.end) results.push_back({i, key, session.window, {}, session.window.end});
      std::erase(all, session);
    }
    all.push_back(merged);
    results.push_back(merged);
  }
  return results;
}

// The results of sliding windows, on each update or on close. Times are from 0.
inline std::vector<Result> sliding(const std::vector<Input>& inputs, std::int64_t size, std::int64_t grace,
                                   bool on_close) {
  struct Accepted {
    std::size_t number;
    std::int64_t time;
    std::int64_t now;
  };
  std::map<std::string, std::vector<Accepted>> accepted;
  std::map<std::tuple<std::int64_t, std::string, std::int64_t>, Result> windows;  // by end, key, start
  std::set<std::pair<std::string, WindowBounds>> final;
  std::vector<Result> results;
  auto now = INT64_MIN;
  const auto inside = [](const WindowBounds& window, std::int64_t time) {
    return window.start <= time && time <= window.end;
  };
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto& [key, time] = inputs[i];
    now = std::max(now, time);
    if (time + 1 + size + grace <= now) continue;
    auto& all = accepted[key];
    const auto own = std::max<std::int64_t>(time - size, 0);
    std::set<std::int64_t> starts{own};
    std::optional<std::int64_t> before;
    bool followed = false;
    std::map<std::int64_t, const Result*> by_start;
    for (const auto& [id, window] : windows)
      if (window.key == key && window.window.start >= time - 2 * size && window.window.start <= time)
        by_start[window.window.start] = &window;
    for (const auto& [start, window] : by_start) {
      const bool early = start == 0 && time < size;
      if ((start + size <= time || early) && window->time < time) before = window->time;
      if (start + size > time) followed = window->time > time;
      if (inside(window->window, time)) starts.insert(start);
    }
    if (before && inside({*before + 1, *before + 1 + size}, time)) starts.insert(*before + 1);
    const auto closed = [&](std::int64_t start) {
      return start + size + grace < now || final.contains({key, {start, start + size}});
    };
    std::erase_if(starts, closed);
    if (!starts.empty()) all.push_back({i, time, now});
    if (followed && !windows.contains({time + 1 + size, key, time + 1}) && !closed(time + 1)) starts.insert(time + 1);
    for (const auto start : starts) {
      Result window{i, key, {start, start + size}, {}, 0};
      for (const auto& one : all) {
        const bool missed = on_close && one.now >= start + size + grace && one.number != i;
        if (!inside(window.window, one.time) || missed) continue;
        window.records.push_back(one.number);
        window.time = std::max(window.time, one.time);
      }
      if (!on_close) results.push_back(window);
      windows.insert_or_assign({start + size, key, start}, window);
    }
    if (!on_close) continue;
    for (auto& [id, window] : windows) {
      if (window.window.end + grace > now || !final.insert({window.key, window.window}).second) continue;
      window.after = i;
      results.push_back(window);
    }
  }
  return results;
}

}  // namespace mephisto::reference

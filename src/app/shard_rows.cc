#include "app/shard_rows.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "mephisto/loop.h"
#include "mephisto/table/ordered_bytes.h"

namespace mephisto::detail {
namespace {

constexpr std::size_t kAtOnce = 256;  // rows, then others have the loop

// Stored keys with from <= key < to; empty: to the end.
struct Range {
  std::string from;
  std::string to;
  bool operator==(const Range&) const = default;
};

// Where the wanted rows are. `source` is a TablePart or a GlobalCopy.
template <class Source>
std::vector<Range> ranges_of(const TableBase& table, const RowFilter& wanted, Source& source) {
  std::vector<Range> all{{"", ""}};
  if (dynamic_cast<const OperatorTable*>(&table) != nullptr) return all;
  if (wanted.key) {
    std::vector<Range> ranges;
    for (const auto& json : {to_json(Bytes{*wanted.key}), *wanted.key}) {
      const auto key = source.stored_key(json);
      if (!key) return all;
      if (!*key) continue;  // the table has no such keys
      Range range{**key, **key + '\0'};
      if (std::ranges::find(ranges, range) == ranges.end()) ranges.push_back(std::move(range));
    }
    return ranges;
  }
  if (wanted.prefix && !wanted.prefix->empty()) {
    if (const auto key = source.stored_key(to_json(Bytes{*wanted.prefix})); key && *key && **key == *wanted.prefix)
      return {{*wanted.prefix, after_prefix(*wanted.prefix)}};
  }
  return all;
}

// False if the source was closed meanwhile.
template <class Source>
Task<bool> read(const TableBase& table, const RowQuery& query, const std::vector<Range>& ranges, Source& source,
                std::function<bool()> is_there, std::vector<ShownRow>& rows) {
  for (const auto& [begin, end] : ranges) {
    for (std::optional<std::string> from = begin; from && rows.size() < query.limit;) {
      try {
        from = source.visit(*from, end, kAtOnce, [&](int partition, std::string_view key, std::string_view value) {
          if (rows.size() >= query.limit) return;
          if (auto row = shown_row(table, partition, query.filter, key, value); row && row->value)
            rows.push_back(std::move(*row));
        });
      } catch (const Failure&) {
        if (is_there()) throw;
        co_return false;  // its store has failed: it is restored now
      }
      if (!from) break;
      co_await yield();
      if (!is_there()) co_return false;
    }
  }
  co_return true;
}

}  // namespace

Task<std::vector<PartRows>> read_rows(const TableBase& table, const TableState& state, const RowQuery& query) {
  std::vector<std::pair<std::shared_ptr<TablePart>, PartRows>> sources;
  for (const auto& [partition, part] : state.parts()) {
    if (part->ready()) sources.push_back({part, {.partition = partition}});
  }
  if (query.standbys) {
    for (const auto& [partition, follower] : state.followers()) {
      if (follower.part->is_open())
        sources.push_back({follower.part, {.partition = partition, .standby = true, .end = follower.progress.end}});
    }
  }
  std::vector<PartRows> parts;
  if (sources.empty()) co_return parts;
  const auto ranges = ranges_of(table, query.filter, *sources.front().first);
  for (auto& [part, found] : sources) {
    const auto is_there = [part, standby = found.standby] { return standby ? part->is_open() : part->ready(); };
    if (!is_there()) continue;
    found.position = std::max<std::int64_t>(part->store().position(), 0);
    if (!found.standby) found.end = found.position;
    try {
      if (co_await read(table, query, ranges, *part, is_there, found.rows)) parts.push_back(std::move(found));
    } catch (const Failure&) {
      if (!found.standby) throw;  // the store of a standby has failed, which its follower meets too
    }
  }
  co_return parts;
}

Task<std::vector<PartRows>> read_rows(const TableBase& table, const GlobalState& state, const RowQuery& query) {
  std::vector<PartRows> parts;
  if (!state.ready()) co_return parts;
  PartRows found;
  for (const auto& one : state.followed()) {
    found.position += one.position;
    found.end += one.end;
  }
  const auto is_there = [&state] { return state.ready(); };
  const auto ranges = ranges_of(table, query.filter, state.copy());
  if (co_await read(table, query, ranges, state.copy(), is_there, found.rows)) parts.push_back(std::move(found));
  co_return parts;
}

}  // namespace mephisto::detail

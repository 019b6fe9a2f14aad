#include "app/table_pages.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/text.h"
#include "mephisto/logging.h"
#include "mephisto/sync.h"

namespace mephisto::detail {
namespace {

constexpr std::int64_t kDefaultLimit = 100;
constexpr std::int64_t kMostRows = 10'000;
constexpr std::chrono::milliseconds kPatience{2'000};  // with another worker
constexpr std::string_view kRetryAfter = "1";

// A partition as one worker has it.
struct Part {
  int partition = 0;
  std::string worker;
  std::string state;          // running or standby
  std::int64_t position = 0;  // the changelog's offset after the last change that the rows have
  std::int64_t lag = 0;       // of a standby, as far as it knows
};

// What is read of a row before it is passed on.
struct RowHead {
  int partition = 0;
  Json key;
};

struct SortedRow {
  ShownKey key;
  int partition = 0;
  Json row;
  auto operator<=>(const SortedRow&) const = default;
};

// A running partition counts more than a standby, and what is further more than what is not: two workers tell the same
// partition only while it moves.
bool is_better(const Part& a, const Part& b) {
  if (a.state != b.state) return a.state == "running";
  return a.position > b.position;
}

const TableBase& find_table(const App& app, const std::string& name) {
  std::vector<std::string> names;
  for (const auto& table : app.tables()) {
    if (table->name() == name) return *table;
    names.push_back(table->name());
  }
  throw PageError(404, fmt::format("there is no table \"{}\"{}", printable(name), did_you_mean(name, names)));
}

std::int64_t number_of(const std::string& name, const std::string& text, std::int64_t most) {
  std::int64_t number = 0;
  if (!mephisto::take_number(text, number) || number < 0 || number > most)
    throw PageError(400, fmt::format("{} is \"{}\", and must be a number from 0 to {}", name, printable(text), most));
  return number;
}

}  // namespace

struct TablePages::Wanted {
  const TableBase& table;
  std::optional<std::string> key;
  std::map<std::string, std::string> given;  // the parameters
  RowQuery query;
  bool standby = false;
  std::int64_t max_lag = INT64_MAX;      // of a standby
  std::map<int, std::int64_t> at_least;  // positions of partitions
  bool local = false;                    // another worker asks for what this one has
};

struct TablePages::Answer {
  std::string table;
  std::string worker;
  std::vector<Json> rows;
  std::vector<Part> partitions;
};

TablePages::TablePages(App& app, std::shared_ptr<Log> log, Local local)
    : app_(app), log_(log), local_(std::move(local)), addresses_(app, std::move(log)) {}

TablePages::~TablePages() = default;

void TablePages::add_to(Router& router) {
  router.add(page_of("/table/{name}",
                     [this](std::string name, HttpRequest request) -> Task<HttpReply> {
                       return answer(std::move(name), std::nullopt, std::move(request));
                     },
                     {.help = "the rows of a table, of all its partitions on all workers"}));
  router.add(page_of("/table/{name}/{key}",
                     [this](std::string name, std::string key, HttpRequest request) -> Task<HttpReply> {
                       return answer(std::move(name), std::move(key), std::move(request));
                     },
                     {.help = "the rows of a table with this key, whichever worker has them"}));
}

Task<int> TablePages::partitions_of(const TableBase& table) {
  if (table.spec().global) co_return 1;
  const auto& topic = table.spec().changelog.name;
  if (const auto known = partitions_.find(topic); known != partitions_.end()) co_return known->second;
  const auto found = co_await topic_if_there(*log_, topic);
  if (!found)
    throw Failure(ErrorKind::kUnavailable, fmt::format("table {} has no changelog yet ({})", table.name(), topic));
  co_return partitions_[topic] = found->config.partitions;
}

Task<TablePages::Answer> TablePages::own_answer(const Wanted& wanted) {
  Answer answer{wanted.table.name(), addresses_.own(), {}, {}};
  for (const auto& part : co_await local_(wanted.table, wanted.query)) {
    answer.partitions.push_back({part.partition, addresses_.own(), part.standby ? "standby" : "running", part.position,
                                 std::max<std::int64_t>(part.end - part.position, 0)});
    for (const auto& row : part.rows) answer.rows.push_back({row_json(wanted.table, row)});
  }
  co_return answer;
}

Task<std::optional<TablePages::Answer>> TablePages::ask(std::string worker, std::string url, const Wanted& wanted) {
  HttpCall call{.url = fmt::format("{}table/{}", url, url_encode(wanted.table.name()))};
  if (wanted.key) call.url += "/" + url_encode(*wanted.key);
  call.url += "?local=true";
  for (const auto& [name, value] : wanted.given) {
    if (name != "token") call.url += fmt::format("&{}={}", name, url_encode(value));
  }
  if (const auto token = app_.settings().text("web_token"); !token.empty())
    call.headers.set("Authorization", "Bearer " + token);
  try {
    if (client_ == nullptr) client_ = std::make_unique<HttpClient>(HttpOptions{.deadline = kPatience, .retries = 0});
    const auto response = co_await client_->send(std::move(call));
    if (response.status != 200) co_return std::nullopt;
    auto answer = from_json<Answer>(response.body);
    if (answer && answer->worker == worker) co_return std::move(*answer);
    log::debug("{} does not answer as worker {}", url, worker);
  } catch (const Failure& failure) {
    log::debug("Worker {} does not answer: {}", worker, failure.what());
  }
  co_return std::nullopt;
}

Task<HttpReply> TablePages::answer(std::string name, std::optional<std::string> key, HttpRequest request) {
  Wanted wanted{.table = find_table(app_, name), .key = key, .given = request.query, .query = {}, .at_least = {}};
  std::int64_t limit = kDefaultLimit;
  for (const auto& [option, value] : request.query) {
    if (option == "token") continue;
    if (option == "prefix" && !key) {
      wanted.query.filter.prefix = value;
    } else if (option == "window") {
      if (windows_of(wanted.table) == nullptr)
        throw PageError(400, fmt::format("window: table {} has no windows", wanted.table.name()));
      wanted.query.filter.window = window_time(value);
      if (!wanted.query.filter.window)
        throw PageError(400, "window is a time: 2026-01-31T12:00:00Z, or milliseconds since 1970");
    } else if (option == "limit") {
      limit = number_of(option, value, kMostRows);
    } else if (option == "consistency" && (value == "active" || value == "standby")) {
      wanted.standby = value == "standby";
    } else if (option == "max_lag") {
      wanted.max_lag = number_of(option, value, INT64_MAX);
    } else if (option == "at_least" && value.contains(':')) {
      const auto colon = value.find(':');
      const auto partition = number_of("the partition of at_least", value.substr(0, colon), INT32_MAX);
      wanted.at_least[static_cast<int>(partition)] =
          number_of("the offset of at_least", value.substr(colon + 1), INT64_MAX);
    } else if (option == "local" && value == "true") {
      wanted.local = true;
    } else {
      throw PageError(400, fmt::format("there is no parameter {}={}; there are: {}window, limit, consistency=active or "
                                       "standby, max_lag, at_least=PARTITION:OFFSET",
                                       printable(option), printable(value, 100), key ? "" : "prefix, "));
    }
  }
  wanted.query.filter.key = key;
  wanted.query.limit = static_cast<std::size_t>(limit);
  wanted.query.standbys = wanted.standby;

  std::vector<Answer> answers;
  answers.push_back(co_await own_answer(wanted));
  if (wanted.local) co_return HttpReply{.body = to_json(answers.front(), Dialect::kShown)};
  const auto counts = [&](const Part& part) {
    const auto offset = wanted.at_least.find(part.partition);
    return (part.state == "running" || (wanted.standby && part.lag <= wanted.max_lag)) &&
           (offset == wanted.at_least.end() || part.position >= offset->second);
  };
  const int partitions = co_await partitions_of(wanted.table);
  const auto has_all = [&] {
    std::set<int> found;
    for (const auto& part : answers.front().partitions) {
      if (counts(part) && part.state == "running") found.insert(part.partition);
    }
    return static_cast<int>(found.size()) == partitions;
  };
  if (!has_all() && !wanted.table.spec().global) {
    std::vector<std::string> silent;  // until they answer
    std::vector<Task<std::optional<Answer>>> asked;
    for (const auto& [worker, address] : addresses_.others()) {
      silent.push_back(worker);
      asked.push_back(ask(worker, address.url, wanted));
    }
    auto others = co_await when_all(std::move(asked));
    for (auto& one : others) {
      if (!one) continue;
      std::erase(silent, one->worker);
      answers.push_back(std::move(*one));
    }
    if (!silent.empty()) co_await addresses_.remove_gone(std::move(silent));
  }

  // Guarantee kept here: the rows of a partition are those of one worker that has all of it.
  std::map<int, std::pair<Part, std::size_t>> best;  // with the number of the answer
  for (std::size_t i = 0; i < answers.size(); ++i) {
    for (const auto& part : answers[i].partitions) {
      if (!counts(part)) continue;
      const auto [at, added] = best.try_emplace(part.partition, part, i);
      if (!added && is_better(part, at->second.first)) at->second = {part, i};
    }
  }
  std::vector<int> missing;
  for (int i = 0; i < partitions; ++i) {
    if (!best.contains(i)) missing.push_back(i);
  }
  if (!missing.empty()) {
    HttpReply reply{.status = 503};
    reply.headers.set("Retry-After", std::string{kRetryAfter});
    struct Refusal {
      std::string error;
      std::vector<int> partitions;
    };
    reply.body = to_json(
        Refusal{fmt::format("no worker that answers has all that is asked of table {}, partition {}: it moves, or is "
                            "restored. Ask again",
                            wanted.table.name(), fmt::join(missing, ", ")),
                missing},
        Dialect::kShown);
    co_return reply;
  }

  std::vector<SortedRow> rows;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    for (auto& row : answers[i].rows) {
      auto head = value_or_throw(from_json<RowHead>(row.text));
      const auto from = best.find(wanted.table.spec().global ? 0 : head.partition);
      if (from == best.end() || from->second.second != i) continue;
      rows.push_back({shown_json_key(head.key.text), head.partition, std::move(row)});
    }
  }
  std::ranges::sort(rows);
  if (rows.size() > wanted.query.limit) rows.resize(wanted.query.limit);
  if (key && rows.empty())
    throw PageError(404, fmt::format("table {} has no key \"{}\"", wanted.table.name(), printable(*key)));
  Answer whole{wanted.table.name(), addresses_.own(), {}, {}};
  for (auto& row : rows) whole.rows.push_back(std::move(row.row));
  for (auto& [partition, part] : best) whole.partitions.push_back(std::move(part.first));
  co_return HttpReply{.body = to_json(whole, Dialect::kShown)};
}

}  // namespace mephisto::detail

// Horton's pages: what its views show, as the commands print it with --json, and the views' files.
#include "horton/pages.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "horton/bars.h"
#include "horton/command_parts.h"
#include "horton/json_text.h"
#include "mephisto/base/text.h"
#include "mephisto/sync.h"
#include "mephisto/web.h"

namespace horton {
namespace {

using namespace mephisto;
using Given = std::map<std::string, std::string>;

constexpr std::int64_t kUsualRows = 50;
constexpr std::int64_t kMostRows = 200;
constexpr std::int64_t kFurthest = 1'000'000'000;
constexpr std::size_t kLongestSearch = 100;

// The parameters of a request, which may have those that are `known`.
Given parameters(HttpRequest request, std::initializer_list<std::string_view> known) {
  request.query.erase("token");
  for (const auto& [name, value] : request.query) {
    if (std::ranges::find(known, name) == known.end())
      throw PageError(400, fmt::format("there is no parameter \"{}\"; there are: {}", printable(name),
                                       known.size() == 0 ? "none" : fmt::format("{}", fmt::join(known, ", "))));
    // No store of documents has such a text.
    if (!simdjson::validate_utf8(value) || value.contains('\0'))
      throw PageError(400, fmt::format("{} is \"{}\", and must be text in UTF-8", name, printable(value, 100)));
  }
  return std::move(request.query);
}

std::optional<std::string> optional(const Given& given, const char* name) {
  const auto found = given.find(name);
  return found == given.end() ? std::nullopt : std::optional{found->second};
}

std::string required(const Given& given, const char* name) {
  auto value = optional(given, name);
  if (!value) throw PageError(400, fmt::format("the parameter {} is missing", name));
  return *value;
}

std::int64_t number(const Given& given, const char* name, std::int64_t without, std::int64_t least, std::int64_t most) {
  const auto text = optional(given, name);
  if (!text) return without;
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (code != std::errc{} || end != text->data() + text->size() || value < least || value > most)
    throw PageError(
        400, fmt::format("{} is \"{}\", and must be a number from {} to {}", name, printable(*text, 100), least, most));
  return value;
}

std::string date(const Given& given, const char* name) {
  const auto text = optional(given, name).value_or("");
  if (!text.empty() && !is_date_text(text))
    throw PageError(400, fmt::format("{} is \"{}\", and must be a date like 2018-12-31", name, printable(text, 100)));
  return text;
}

// `name`, or `-name` for the greatest first. Equal ones follow in the order of the list without it.
Object order_of(const std::string& text) {
  const bool down = text.starts_with('-');
  const auto name = text.substr(down ? 1 : 0);
  if (std::ranges::find(kListed, name) == std::end(kListed))
    throw PageError(400, fmt::format("sort is \"{}\", and must be one of {}, with a - before it for the greatest first",
                                     printable(text, 100), fmt::join(kListed, ", ")));
  Object order{{name, down ? -1 : 1}};
  for (const char* field : {"symbol", "exchange"}) order.emplace(field, 1);
  return order;
}

// A pattern that finds the text itself, whatever it is.
std::string pattern_of(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (std::string_view{R"(\^$.|?*+()[]{})"}.contains(c)) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

HttpReply reply(const boost::json::value& body) { return {.body = json_text(body)}; }

Task<HttpReply> list(HttpRequest request) {
  const auto given = parameters(std::move(request), {"search", "exchange", "sort", "skip", "limit"});
  Object filter;
  if (const auto exchange = optional(given, "exchange")) filter["exchange"] = *exchange;
  if (const auto text = optional(given, "search"); text && !text->empty()) {
    if (text->size() > kLongestSearch)
      throw PageError(400, fmt::format("search has {} bytes, and may have {}", text->size(), kLongestSearch));
    const Object found{{"$regex", pattern_of(*text)}, {"$options", "i"}};
    filter["$or"] = boost::json::array{Object{{"symbol", found}}, Object{{"name", found}}};
  }
  FindOptions find;
  find.sort = order_of(optional(given, "sort").value_or("symbol"));
  find.skip = number(given, "skip", 0, 0, kFurthest);
  find.limit = number(given, "limit", kUsualRows, 1, kMostRows);
  find.projection = {{"_id", 0}};
  for (const char* name : kListed) find.projection[name] = 1;
  const auto total = co_await securities().count(filter);
  boost::json::array rows;
  for (const auto& security : co_await securities().find_many(std::move(filter), std::move(find)))
    rows.push_back(listed_row(security));
  co_return reply(Object{{"total", total}, {"securities", std::move(rows)}});
}

Task<HttpReply> security(HttpRequest request) {
  const auto given = parameters(std::move(request), {"symbol", "exchange"});
  const auto found = co_await documents_of(required(given, "symbol"), optional(given, "exchange"));
  co_return reply(boost::json::array(found.begin(), found.end()));
}

Task<HttpReply> bars(HttpRequest request) {
  const auto given = parameters(std::move(request), {"symbol", "exchange", "from", "to"});
  const SecurityKey key{required(given, "symbol"), required(given, "exchange")};
  const auto from = date(given, "from");
  const auto to = date(given, "to");
  co_await documents_of(key.symbol, key.exchange);  // or it is unknown
  boost::json::array rows;
  for (const auto& bar : co_await stored_bars(key, from, to)) rows.push_back(row_of(bar));
  co_return reply(rows);
}

struct Asking {
  std::string agent;
  std::string topic;
};

struct BudgetNow {
  Json budget;                              // as the command prints it
  std::optional<std::string> out_of_order;  // why the service is
  std::vector<Asking> agents;               // that ask the service
};

Task<BudgetNow> budget_now(HttpRequest request) {
  parameters(std::move(request), {});
  const auto paused = co_await budget().pause();
  const auto table = co_await budget_table(paused);
  BudgetNow now{{table.json()}, std::nullopt, {}};
  if (paused && !paused->out_of_order.empty()) now.out_of_order = paused->out_of_order;
  for (const AgentBase* agent : std::initializer_list<const AgentBase*>{&collect_securities, &collect_security_overview,
                                                                        &collect_historical, &collect_last_price})
    now.agents.push_back({agent->name(), agent->topic().name});
  co_return now;
}

// One look at the documents at a time: many of them would keep the threads that events need for theirs.
Mutex looking;

template <class T>
Task<T> in_turn(Task<T> look) {
  const auto lock = co_await looking.lock("another page's look at the documents");
  co_return co_await std::move(look);
}

// In the order of the navigation.
constexpr std::pair<std::string_view, std::string_view> kViews[] = {{"securities.js", "Securities"},
                                                                    {"budget.js", "Budget"}};

struct Registered {
  Registered() {
    const auto page = [](const char* path, auto handler, const char* help) {
      app().page(path, [handler](HttpRequest request) { return in_turn(handler(std::move(request))); }, {.help = help});
    };
    page("/horton/securities", list, "the listed securities: search (in symbol and name), exchange, sort, skip, limit");
    page("/horton/security", security, "the documents of a symbol, one for each exchange");
    page("/horton/bars", bars, "the daily bars of a symbol on an exchange, from a day to a day");
    page("/horton/budget", budget_now, "how much of the request budget is used, and by which agents");
    const auto add = [](std::string_view name, std::string_view text, std::string_view view) {
      app().page(fmt::format("/horton/page/{}", name), ProgramFile{name, text, std::string{view}},
                 {.help = fmt::format("a file of Horton's views: {}", name)});
    };
    std::map<std::string_view, std::string_view> files{page_files().begin(), page_files().end()};
    for (const auto& [view, title] : kViews) add(view, files.extract(view).mapped(), title);
    for (const auto& [name, text] : files) add(name, text, "");
  }
} registered;

}  // namespace
}  // namespace horton

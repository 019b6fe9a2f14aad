#include "horton/documents.h"

#include <algorithm>

#include "mephisto/error.h"
#include "mephisto/base/ids.h"

namespace horton {
namespace {

using mephisto::Task;

Object as_update(Object payload, const UpdateOptions& options) {
  const bool operators = std::ranges::any_of(payload, [](const auto& field) { return field.key().starts_with('$'); });
  if (operators || !options.with_set_option) return payload;
  return {{"$set", std::move(payload)}};
}

std::vector<Change> one_change(Object filter, Object payload, const UpdateOptions& options) {
  std::vector<Change> changes;
  changes.push_back({std::move(filter), as_update(std::move(payload), options)});
  return changes;
}

}  // namespace

std::string new_id() {
  static thread_local mephisto::Random random;
  return mephisto::Uuid::random(random).str();
}

Task<std::vector<Object>> Collection::find_many(Object filter, FindOptions options) const {
  return documents_.find(*this, std::move(filter), std::move(options));
}

Task<std::int64_t> Collection::count(Object filter) const { return documents_.count(*this, std::move(filter)); }

Task<std::optional<Object>> Collection::find_one(Object filter, FindOptions options) const {
  options.limit = 1;
  auto found = co_await find_many(std::move(filter), std::move(options));
  if (found.empty()) co_return std::nullopt;
  co_return std::move(found.front());
}

Task<std::vector<Object>> Collection::aggregate(boost::json::array pipeline) const {
  return documents_.aggregate(*this, std::move(pipeline));
}

Task<std::vector<std::string>> Collection::insert_many(std::vector<Object> documents) const {
  std::vector<std::string> ids;
  for (auto& document : documents) {
    if (!document.contains("_id")) document["_id"] = new_id();
    if (!document["_id"].is_string())
      throw mephisto::Failure(mephisto::ErrorKind::kInvalid,
                              "an _id is a text here, not " + boost::json::serialize(document["_id"]));
    ids.emplace_back(document["_id"].get_string());
  }
  co_await documents_.insert(*this, std::move(documents));
  co_return ids;
}

Task<std::string> Collection::insert_one(Object document) const {
  std::vector<Object> one;
  one.push_back(std::move(document));
  auto ids = co_await insert_many(std::move(one));
  co_return std::move(ids.front());
}

Task<UpdateResult> Collection::update_one(Object filter, Object payload, UpdateOptions options) const {
  return documents_.update(*this, one_change(std::move(filter), std::move(payload), options), options.upsert,
                           Which::kFirst);
}

Task<UpdateResult> Collection::update_many(Object filter, Object payload, UpdateOptions options) const {
  return documents_.update(*this, one_change(std::move(filter), std::move(payload), options), options.upsert,
                           Which::kAll);
}

Task<UpdateResult> Collection::upsert_many(std::vector<Change> changes) const {
  for (auto& change : changes) change.payload = as_update(std::move(change.payload), {});
  return documents_.update(*this, std::move(changes), true, Which::kFirst);
}

Task<std::int64_t> Collection::delete_one(Object filter) const {
  return documents_.remove(*this, std::move(filter), Which::kFirst);
}

Task<std::int64_t> Collection::delete_many(Object filter) const {
  return documents_.remove(*this, std::move(filter), Which::kAll);
}

}  // namespace horton

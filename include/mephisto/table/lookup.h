// Look-ups of an outside service, for agents that add to each record what the service knows.
//
//   auto& companies = app.lookup<std::string, Company>("companies", fetch_company, {.ttl = 5min});
//   auto& enrich = app.agent("enrich", orders, [](Stream<Order> stream) -> Task<void> {
//     while (auto order = co_await stream.next()) {
//       if (auto company = co_await companies.get(order->symbol)) …
//     }
//   });
//
// `fetch_company` is a function `Task<std::optional<Company>>(std::string)`; no value: the service knows nothing of the
// key. What it throws reaches all who wait for this answer, and their agents' error policies; it is not remembered.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "mephisto/stream/outbox.h"
#include "mephisto/table/join_lookup.h"

namespace mephisto {

namespace detail {

class LookupBase {
 public:
  virtual ~LookupBase() = default;
};

// The answers that a shard remembers.
template <class K, class V>
struct LookupOfShard : Outbox::Extension {
  LookupOfShard(const LookupOptions& options, const typename LookupCache<K, V>::Ask& ask) : cache(options, ask) {}
  Task<void> close(Loop::time_point) override {
    cache.cancel();
    co_return;
  }
  LookupCache<K, V> cache;
};

}  // namespace detail

// Each shard of a worker remembers answers of its own, until the worker stops.
template <class K, class V>
class Lookup : public detail::LookupBase {
 public:
  using Cache = LookupCache<K, V>;

  Lookup(const LookupOptions& options, typename Cache::Ask ask) : options_(options), ask_(std::move(ask)) {}

  // The value under `key`; null if there is none. One request is under way for a key, however many wait for it.
  Task<std::shared_ptr<const V>> get(K key) const { return cache().get(std::move(key)); }
  // Of this shard.
  const typename Cache::Counts& counts() const { return cache().counts(); }

 private:
  Cache& cache() const {
    auto& kept = detail::Outbox::current().extensions[this];  // NOLINT(*-polymorphic-object)
    if (!kept) kept = std::make_unique<detail::LookupOfShard<K, V>>(options_, ask_);
    return static_cast<detail::LookupOfShard<K, V>&>(*kept).cache;
  }

  LookupOptions options_;
  typename Cache::Ask ask_;
};

}  // namespace mephisto

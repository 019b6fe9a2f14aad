// LookupCache joins a stream with what an outside service knows: it remembers the last answers for a while, also that
// there is nothing under a key, and asks once for all who wait for the same key.
//
//   LookupCache<std::string, Company> companies{{.ttl = 5min}, [](std::string symbol) { return fetch_company(symbol);
//   }}; if (auto company = co_await companies.get(order->symbol)) …
//
// Belongs to one loop. It is not part of any table: after a restart it asks again.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "mephisto/loop.h"
#include "mephisto/sync.h"

namespace mephisto {

struct LookupOptions {
  std::size_t capacity = 10'000;               // answers that are remembered; the least recently used one goes first
  std::chrono::milliseconds ttl{60'000};       // how long an answer holds
  std::chrono::milliseconds miss_ttl{10'000};  // the same for "there is nothing"
};

template <class Key, class Value>
class LookupCache {
 public:
  // Asks the service. No value: there is nothing under the key. A request that throws is not remembered.
  using Ask = std::function<Task<std::optional<Value>>(Key)>;

  struct Counts {
    std::uint64_t remembered = 0;  // answered from memory
    std::uint64_t joined = 0;      // waited for a request that was on its way
    std::uint64_t asked = 0;
    std::uint64_t failed = 0;
  };

  LookupCache(const LookupOptions& options, Ask ask) : shared_(std::make_shared<Shared>(options, std::move(ask))) {
    if (options.capacity == 0) throw Failure(ErrorKind::kInvalid, "a cache of lookups needs a capacity of at least 1");
    if (options.ttl.count() < 0 || options.miss_ttl.count() < 0)
      throw Failure(ErrorKind::kInvalid, "a cache of lookups needs times of at least 0");
  }
  ~LookupCache() {
    if (shared_) cancel();
  }
  LookupCache(LookupCache&&) noexcept = default;
  LookupCache& operator=(LookupCache&&) = delete;

  // The value under `key`; null if there is none. Throws what the request threw. Cancelling a caller cancels only its
  // own wait.
  Task<std::shared_ptr<const Value>> get(Key key) { return get_from(shared_, std::move(key)); }

  // Cancels the requests on their way; who waits for one gets Failure kUnavailable.
  void cancel() {
    for (auto& [key, request] : shared_->requests) request->task.cancel();
  }

  const Counts& counts() const { return shared_->counts; }
  std::size_t size() const { return shared_->answers.size(); }

 private:
  using Answer = std::shared_ptr<const Value>;

  struct Request {
    bool done = false;
    Answer answer;
    std::exception_ptr error;
    WaitQueue finished;
    Spawned task;
  };
  struct Remembered {
    Answer answer;
    Loop::time_point until;
    typename std::list<Key>::iterator place;  // among the used ones
  };
  // Outlives the cache while requests are on their way.
  struct Shared {
    Shared(const LookupOptions& opts, Ask how) : options(opts), ask(std::move(how)) {}

    LookupOptions options;
    Ask ask;
    Counts counts;
    std::list<Key> used;  // the most recently used key first
    std::unordered_map<Key, Remembered> answers;
    std::unordered_map<Key, std::shared_ptr<Request>> requests;

    const Answer* find(const Key& key) {
      const auto found = answers.find(key);
      if (found == answers.end()) return nullptr;
      if (found->second.until <= Loop::current()->now()) {
        used.erase(found->second.place);
        answers.erase(found);
        return nullptr;
      }
      used.splice(used.begin(), used, found->second.place);
      return &found->second.answer;
    }
    void remember(const Key& key, const Answer& answer) {
      const auto ttl = answer ? options.ttl : options.miss_ttl;
      if (ttl.count() == 0) return;
      if (answers.size() >= options.capacity) {
        answers.erase(used.back());
        used.pop_back();
      }
      used.push_front(key);
      answers.insert_or_assign(key, Remembered{answer, Loop::current()->now() + ttl, used.begin()});
    }
  };

  static Task<Answer> get_from(std::shared_ptr<Shared> shared, Key key) {
    if (const auto* known = shared->find(key)) {
      ++shared->counts.remembered;
      co_return *known;
    }
    auto& place = shared->requests[key];
    if (place) {
      ++shared->counts.joined;
    } else {
      ++shared->counts.asked;
      place = std::make_shared<Request>();
      place->task = Loop::current()->spawn("lookup", run(shared, place, key));
    }
    const auto request = place;
    while (!request->done) co_await request->finished.wait("the answer to a lookup");
    if (request->error) std::rethrow_exception(request->error);
    co_return request->answer;
  }

  static Task<void> run(std::shared_ptr<Shared> shared, std::shared_ptr<Request> request, Key key) {
    try {
      if (auto value = co_await shared->ask(key)) request->answer = std::make_shared<const Value>(std::move(*value));
      shared->remember(key, request->answer);
    } catch (const Cancelled&) {
      request->error = std::make_exception_ptr(Failure(ErrorKind::kUnavailable, "the lookup was cancelled"));
    } catch (...) {
      request->error = std::current_exception();
    }
    if (request->error) ++shared->counts.failed;
    request->done = true;
    shared->requests.erase(key);
    request->finished.notify_all();
  }

  std::shared_ptr<Shared> shared_;
};

}  // namespace mephisto

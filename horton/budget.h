// How many requests the service allows: `1/s,25/d`, `75/min`, `unlimited`. The count is a document, so it is shared by
// all workers of the documents, survives restarts, and is exact over sliding windows: a request goes when the N-th last
// one is a whole window ago. Beside it stands what everybody knows of the service: until when nobody asks it, and why.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "horton/documents.h"
#include "mephisto/loop.h"
#include "mephisto/time.h"

namespace horton {

struct RateTerm {
  int count = 0;
  std::chrono::milliseconds window{};
  std::string text;  // as given: `25/d`
};

// kInvalid says what is wrong. `unlimited` has no terms.
mephisto::Result<std::vector<RateTerm>> parse_rate(std::string_view text);

// Shared by the shards of a worker.
class Budget {
 public:
  // `deadline`: of one request.
  Budget(Collection collection, std::vector<RateTerm> terms,
         std::chrono::milliseconds deadline = std::chrono::seconds{30})
      : collection_(std::move(collection)), terms_(std::move(terms)), deadline_(deadline) {}

  // What everybody waits at the first notice when unlimited, and at the first sign of an outage.
  static constexpr std::chrono::milliseconds kFirstPause{1000};

  // A request that may go.
  struct Ticket {
    mephisto::Microtime asked;
    mephisto::Loop::time_point sent;
    bool probe = false;         // the only one that asks whether an outage is over
    std::uint64_t answers = 0;  // another number than an earlier ticket's: others were answered between them
  };

  bool unlimited() const { return terms_.empty(); }
  // Takes one request, waiting until the terms allow it. While the service is out of order, one request at a time goes.
  // Logs until when it waits, once for all who do. An event that waits is given back when its worker stops. What failed
  // before (`again`) asks a little later than what did not: whether the service works is seen sooner.
  mephisto::Task<Ticket> acquire(bool again = false);
  // The request was answered, by whatever: the service works.
  mephisto::Task<void> answered(Ticket ticket);
  // The service said "too many" all the same: nobody asks before the wait is over. Waits grow while the notices go on:
  // from 1 s up when unlimited, else from the shortest term's window to the longest; or they are as the service says.
  // Notices to requests that were on their way when the wait began are one with the first.
  mephisto::Task<void> notice(Ticket ticket, std::optional<std::chrono::milliseconds> retry_after = std::nullopt);
  // The request was not answered: the service cannot be reached, is out of order (5xx), or stopped half-way. Such a
  // request costs nothing of the terms from an hour up. False where others are answered meanwhile: it is this request's
  // trouble. Otherwise, and at the fourth failure without an answer between them, nobody asks before the wait is over,
  // and then one. Waits grow from 1 s to 1 min, or are as the service says. `why` is for people.
  mephisto::Task<bool> failed(Ticket ticket, const std::string& why,
                              std::optional<std::chrono::milliseconds> retry_after = std::nullopt);

  struct Use {
    RateTerm term;
    int used = 0;
    std::optional<mephisto::Timestamp> free_at;  // when it is spent
  };
  mephisto::Task<std::vector<Use>> use();
  struct Pause {
    mephisto::Timestamp until;
    std::string
        out_of_order;  // why the service cannot be asked; empty: the pause is because of a notice, or of the terms
  };
  // The pause that everybody makes now.
  mephisto::Task<std::optional<Pause>> pause();

 private:
  Collection collection_;
  std::vector<RateTerm> terms_;
  std::chrono::milliseconds deadline_;
  std::atomic<int> notices_ = 0;  // in a row
  std::atomic<std::uint64_t> answers_ = 0;
  std::atomic<int> failures_ = 0;  // since the last answer
  std::atomic<mephisto::Loop::time_point> last_answer_{};
  std::atomic<std::int64_t> logged_until_ = 0;  // the wait that was logged last
};

}  // namespace horton

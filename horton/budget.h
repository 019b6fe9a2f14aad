// How many requests the service allows: `1/s,25/d`, `75/min`, `unlimited`. The count is a document, so it is shared by all workers of
// the documents, survives restarts, and is exact over sliding windows: a request goes when the N-th last one is a whole window ago.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "horton/documents.h"
#include "mephisto/time.h"

namespace horton {

struct RateTerm {
  int count = 0;
  std::chrono::milliseconds window{};
  std::string text;  // as given: `25/d`
};

// kInvalid says what is wrong. `unlimited` has no terms.
mephisto::Result<std::vector<RateTerm>> parse_rate(std::string_view text);

class Budget {
 public:
  Budget(Collection collection, std::vector<RateTerm> terms) : collection_(std::move(collection)), terms_(std::move(terms)) {}

  // Takes one request, waiting until the terms allow it. Logs until when, once per wait.
  mephisto::Task<void> acquire();
  // The service said "too many" all the same: nobody asks before the wait is over. Waits grow while the notices go on: from 1 s up
  // when unlimited, else from the shortest term's window to the longest.
  mephisto::Task<void> notice();
  // A request was answered.
  void answered() { notices_ = 0; }

  struct Use {
    RateTerm term;
    int used = 0;
    std::optional<mephisto::Timestamp> free_at;  // when it is spent
  };
  mephisto::Task<std::vector<Use>> use();
  // Until when nobody asks because of a notice.
  mephisto::Task<std::optional<mephisto::Timestamp>> paused_until();

 private:
  Collection collection_;
  std::vector<RateTerm> terms_;
  int notices_ = 0;
};

}  // namespace horton

// What the documents say of a collection: when it was asked for and listed, which securities it has looked at, and how
// far it is.
#pragma once

#include "horton/documents.h"
#include "mephisto/time.h"

namespace horton {

// The listing is known by the time at which it was asked for.
mephisto::Task<void> note_collection(mephisto::Timestamp asked_at);  // unless a later one is noted
mephisto::Task<void> note_listed(mephisto::Timestamp asked_at);
mephisto::Task<void> note_listing_failed(mephisto::Timestamp asked_at, const std::string& why);

// A security's document. What Horton itself notes there is not the market's to say.
void erase_own_fields(Object& from_the_market);
// When its overview was last asked for with success; nothing: never, or by a clock that was wrong.
std::optional<mephisto::Microtime> checked_at(const Object& security);
// Whether an event that was sent at `sent` has been worked on with success, or need not be any more.
bool is_done(const Object& security, mephisto::Timestamp sent);
// What an update of the document has to say after the event: with the overview, and its fields `overview_status` and
// `overview_retries`;
mephisto::Task<void> note_overview(Object identity, mephisto::Timestamp sent, Object overview);
// or when it is given up.
mephisto::Task<void> note_overview_failed(Object identity, mephisto::Timestamp sent, const std::string& why);

struct Progress {
  std::int64_t listed = 0;
  std::int64_t checked = 0;
  std::int64_t known = 0;
  std::int64_t failed = 0;  // given up; they are among the dead letters
  std::int64_t retries = 0;
  bool to_be_listed = false;   // a collection was asked for whose listing has not come
  std::string listing_failed;  // why it never will; empty: it may
  bool empty = false;          // the listing came, and names nothing
  bool ended() const {
    return !listing_failed.empty() || (!to_be_listed && (listed > 0 || empty) && checked + failed == listed);
  }
};
mephisto::Task<Progress> progress_now();

}  // namespace horton

// What the documents say about a collection: when it was requested and listed, which securities it has checked, and how
// far it is.
#pragma once

#include "horton/documents.h"
#include "mephisto/base/time.h"

namespace horton {

// The time of the request identifies a listing.
mephisto::Task<void> note_collection(mephisto::Timestamp asked_at);  // does nothing if a later one is noted
mephisto::Task<void> note_listed(mephisto::Timestamp asked_at);
mephisto::Task<void> note_listing_failed(mephisto::Timestamp asked_at, const std::string& why);

// Removes the fields that only Horton may set in a security's document.
void erase_own_fields(Object& from_the_market);
// When its overview was last requested with success. Empty if that never happened, or if a wrong clock noted it.
std::optional<mephisto::Microtime> checked_at(const Object& security);
// Whether an event that was sent at `sent` has been processed with success, or is superseded.
bool is_done(const Object& security, mephisto::Timestamp sent);
// Updates the document after the event: with the overview and its fields `overview_status` and `overview_retries`;
mephisto::Task<void> note_overview(Object identity, mephisto::Timestamp sent, Object overview);
// or with the error, if the event is given up.
mephisto::Task<void> note_overview_failed(Object identity, mephisto::Timestamp sent, const std::string& why);

struct Progress {
  std::int64_t listed = 0;
  std::int64_t checked = 0;
  std::int64_t known = 0;
  std::int64_t failed = 0;  // given up; they are in the dead letters
  std::int64_t retries = 0;
  bool to_be_listed = false;   // a collection was requested, but its listing has not arrived
  std::string listing_failed;  // why the listing never arrives; empty: it may still arrive
  bool empty = false;          // the listing arrived, and it is empty
  bool ended() const {
    return !listing_failed.empty() || (!to_be_listed && (listed > 0 || empty) && checked + failed == listed);
  }
};
mephisto::Task<Progress> progress_now();

}  // namespace horton

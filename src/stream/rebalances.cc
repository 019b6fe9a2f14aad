#include <fmt/format.h>

#include <algorithm>

#include "mephisto/stream/diagnosis.h"
#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

std::int64_t& phase_of(Rebalance& one, Rebalances::Phase phase) {
  return phase == Rebalances::kDrain ? one.drain_ms : phase == Rebalances::kCommit ? one.commit_ms : one.release_ms;
}

// `a, b and 3 more died`.
void add_members(std::string& text, const std::vector<std::string>& members, const char* what) {
  constexpr std::size_t kShown = 3;
  if (members.empty()) return;
  if (!text.empty()) text += "; ";
  for (std::size_t i = 0; i < std::min(members.size(), kShown); ++i) text += (i == 0 ? "" : ", ") + members[i];
  if (members.size() > kShown) text += fmt::format(" and {} more", members.size() - kShown);
  text += std::string{" "} + what;
}

}  // namespace

void Rebalances::members_changed(const GroupChange& change) {
  meant_ = change.meant;
  members_ = change.members;
  std::string text;
  add_members(text, change.died, "died");
  add_members(text, change.left, "left");
  add_members(text, change.joined, "joined");
  if (!text.empty() && under_way_ && !complete_ && present_.reason == news_)
    present_.reason = text = news_ + "; " + text;
  if (!text.empty()) news_ = std::move(text);
  if (under_way_ && !complete_) update_complete();
}

// Guarantee kept here: a spare member has no rebalance under way.
void Rebalances::update_complete() {
  const auto held = static_cast<std::size_t>(present_.after);
  complete_ = !releasing_ && (meant_ ? held == *meant_ : held > 0);
  if (complete_) changed_ = loop_.now();
}

void Rebalances::begin(const char* reason, std::size_t held) {
  if (complete_) end();
  if (under_way_) return;
  under_way_ = true;
  since_ = changed_ = loop_.now();
  empty_since_.reset();
  if (held == 0) empty_since_ = since_;
  present_ = {};
  present_.time = format_iso8601(loop_.wall_time());
  present_.member = member_;
  const bool explained =
      !news_.empty() && (reason == std::string_view{"assigned"} || reason == std::string_view{"revoked"});
  present_.reason = explained ? news_ : reason;
  present_.before = present_.after = static_cast<int>(held);
}

void Rebalances::begin_assigned(std::size_t held) {
  end_if_complete();
  if (!under_way_) begin("assigned", held);
}

void Rebalances::changed(std::size_t held, bool releasing) {
  if (!under_way_) return;
  changed_ = loop_.now();
  present_.after = static_cast<int>(held);
  if (held == 0 && !empty_since_) empty_since_ = changed_;
  if (held > 0 && empty_since_) {
    present_.unread_ms += ms_between(*empty_since_, changed_);
    empty_since_.reset();
  }
  releasing_ = releasing;
  update_complete();
}

void Rebalances::end() {
  if (!under_way_) return;
  auto one = until_now();
  one.over = true;
  under_way_ = complete_ = false;
  news_.clear();
  if (one.before > 0 || one.after > 0) {
    log::info(
        "Rebalance of {} ({}): {} → {} partitions in {} ms; nothing was read for {} ms (drain {}, commit {}, release "
        "{}, group {})",
        group_, one.reason, one.before, one.after, one.total_ms, one.unread_ms, one.drain_ms, one.commit_ms,
        one.release_ms, one.wait_ms);
  }
  if (one.spare) {
    const auto members = members_ > 0 ? fmt::format("{} members and ", members_) : "";  // 0: not known
    log::info("{} is spare: group {} has {}no partition left for it; it takes over when another member leaves", member_,
              group_, members);
  }
  ++totals_.count;
  totals_.ms += one.total_ms;
  totals_.unread_ms += one.unread_ms;
  past_.push_back(std::move(one));
  if (past_.size() > kKept) past_.pop_front();
}

void Rebalances::enter(Phase phase) {
  auto& inside = inside_[phase];
  if (inside.count++ == 0) inside.since = loop_.now();
}

void Rebalances::leave(Phase phase) {
  auto& inside = inside_[phase];
  if (--inside.count > 0) return;
  phase_of(present_, phase) += ms_between(inside.since, loop_.now());
}

Rebalance Rebalances::until_now() const {
  auto one = present_;
  const auto until = complete_ ? changed_ : loop_.now();
  one.over = complete_;
  one.spare = complete_ && meant_ == 0U;
  one.total_ms = ms_between(since_, until);
  if (empty_since_) one.unread_ms += ms_between(*empty_since_, until);
  for (auto phase : {kDrain, kCommit, kRelease}) {
    if (inside_[phase].count > 0) phase_of(one, phase) += ms_between(inside_[phase].since, loop_.now());
  }
  one.wait_ms = std::max<std::int64_t>(one.total_ms - one.drain_ms - one.commit_ms - one.release_ms, 0);
  return one;
}

std::vector<Rebalance> Rebalances::list() const {
  std::vector<Rebalance> all{past_.begin(), past_.end()};
  if (under_way_) all.push_back(until_now());
  return all;
}

}  // namespace mephisto::detail

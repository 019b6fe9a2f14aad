// A StateView over a map in memory. Values that it gave out become invalid at the next call, as the interface says.
#pragma once

#include <map>
#include <string>

#include "mephisto/table/state_view.h"

namespace mephisto {

class MapState : public detail::StateView {
 public:
  std::optional<std::string_view> get(std::string_view key) override {
    last_.assign(last_.size(), '#');
    const auto found = entries_.find(key);
    if (found == entries_.end()) return std::nullopt;
    last_ = found->second;
    return last_;
  }
  void put(std::string_view key, std::string_view value) override {
    expect_no_scan();
    entries_.insert_or_assign(std::string{key}, std::string{value});
    last_.assign(last_.size(), '#');
  }
  void put_absent(std::string_view key, std::string_view value) override {
    if (entries_.contains(key)) throw std::logic_error("an entry is not absent");
    put(key, value);
  }
  std::string& edit(std::string_view key) override {
    expect_no_scan();
    last_.assign(last_.size(), '#');
    return entries_.try_emplace(std::string{key}).first->second;
  }
  void erase(std::string_view key) override {
    expect_no_scan();
    if (const auto found = entries_.find(key); found != entries_.end()) entries_.erase(found);
    last_.assign(last_.size(), '#');
  }
  void erase_shown(std::string_view key, std::string_view value) override {
    const auto found = entries_.find(key);
    if (found == entries_.end() || found->second != value) throw std::logic_error("an entry is not as it was shown");
    erase(key);
  }
  void scan(std::string_view from, std::string_view to,
            const std::function<bool(std::string_view key, std::string_view value)>& visit) override {
    scanning_ = true;
    for (auto at = entries_.lower_bound(from); at != entries_.end() && (to.empty() || at->first < to); ++at) {
      ++scanned_;
      if (!visit(at->first, at->second)) break;
    }
    scanning_ = false;
  }

  const std::map<std::string, std::string, std::less<>>& entries() const { return entries_; }
  // How many entries all scans have visited.
  std::size_t scanned() const { return scanned_; }

 private:
  void expect_no_scan() const {
    if (scanning_) throw std::logic_error("a scan's visitor changes the state");
  }

  std::map<std::string, std::string, std::less<>> entries_;
  std::string last_;
  bool scanning_ = false;
  std::size_t scanned_ = 0;
};

}  // namespace mephisto

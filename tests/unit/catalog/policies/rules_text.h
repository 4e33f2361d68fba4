// Rules and verdicts as short texts.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "backend/base/time.h"
#include "catalog/policies/keep_rules.h"

namespace ckptfs::rules_text {

inline int64_t At(const std::string& text) { return ParseRfc3339(text).value(); }

struct PeriodName {
  Period period;
  const char* name;
};
inline constexpr PeriodName kPeriodNames[] = {
    {Period::kEach, "last"},   {Period::kHour, "hourly"},   {Period::kDay, "daily"},
    {Period::kWeek, "weekly"}, {Period::kMonth, "monthly"}, {Period::kYear, "yearly"}};

// "daily=3 within=7d within-hourly=2d"
inline KeepRules RulesOf(const std::string& text) {
  KeepRules rules;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const std::string key = word.substr(0, word.find('='));
    const std::string value = word.substr(word.find('=') + 1);
    if (key == "within") rules.span(Period::kEach) = ParseSpan(key, value);
    for (const PeriodName& entry : kPeriodNames) {
      if (key == entry.name) {
        rules.count(entry.period) = value == "unlimited" ? kUnlimited : ParseCount(key, value);
      }
      if (key == std::string("within-") + entry.name) {
        rules.span(entry.period) = ParseSpan(key, value);
      }
    }
  }
  return rules;
}

inline std::string Pattern(const std::vector<std::vector<std::string>>& reasons) {
  std::string pattern;
  for (const auto& of_one : reasons) pattern += of_one.empty() ? '.' : 'k';
  return pattern;
}

}  // namespace ckptfs::rules_text

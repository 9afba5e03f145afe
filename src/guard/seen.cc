#include <algorithm>

#include "guard/check.h"

namespace tack::guard {

const NormalText& SeenPassage::normal() {
  if (!normal_) normal_ = normalize(raw());
  return *normal_;
}

const NormalText& SeenPassage::folded() {
  if (!folded_) folded_ = fold(normal());
  return *folded_;
}

const std::vector<HiddenText>& SeenPassage::hidden() {
  if (!hidden_) {
    hidden_ = hidden_texts(normal().text);
    if (!normal().invisible.empty())
      hidden_->push_back({Encoding::kInvisible, normalize(normal().invisible).text});
  }
  return *hidden_;
}

std::vector<std::string_view> SeenPassage::readings() {
  std::vector<std::string_view> all{raw()};
  if (normal().text != raw()) all.emplace_back(normal().text);
  for (const HiddenText& one : hidden()) all.emplace_back(one.text);
  return all;
}

SeenSubject::SeenSubject(Stage stage, const Subject& subject)
    : stage_(stage), complete_(subject.complete) {
  passages_.reserve(subject.passages.size());
  for (const Passage& passage : subject.passages) passages_.emplace_back(passage, passages_.size());
}

std::vector<SeenPassage*> SeenSubject::untrusted() {
  std::vector<SeenPassage*> found;
  if (new_) return {&*new_};
  for (SeenPassage& passage : passages_) {
    const bool last = passage.number() + 1 == passages_.size();
    const bool counts = stage_ == Stage::kOutput
                            ? last
                            : passage.role() == Role::kUser || passage.role() == Role::kTool ||
                                  (last && passage.role() == Role::kAssistant);
    if (counts) found.push_back(&passage);
  }
  return found;
}

std::vector<SeenPassage*> SeenSubject::of(Role role) {
  std::vector<SeenPassage*> found = untrusted();
  std::erase_if(found, [role](const SeenPassage* p) { return p->role() != role; });
  return found;
}

SeenPassage* SeenSubject::latest() {
  if (stage_ == Stage::kOutput) return passages_.empty() ? nullptr : &passages_.back();
  for (std::size_t i = passages_.size(); i-- > 0;)
    if (passages_[i].role() == Role::kUser) return &passages_[i];
  return nullptr;
}

std::string place_of(const SeenSubject& subject, std::size_t passage) {
  if (subject.stage() == Stage::kOutput) return "the answer";
  constexpr std::string_view kRoles[] = {"system", "user", "assistant", "tool"};
  const auto& all = subject.all();
  return fmt::format("message {} ({})", passage + 1,
                     kRoles[static_cast<std::size_t>(all[passage].role())]);
}

std::string place_of(const SeenSubject& subject, const SeenPassage& passage) {
  return place_of(subject, passage.number());
}

}  // namespace tack::guard

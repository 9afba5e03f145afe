// What a router is worth on rows whose answers are known: the curve of quality against cost, and
// how it compares with chance, with the length of the prompt, with other scores, and with
// hindsight.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/metrics.h"
#include "gateway/learned_router.h"
#include "gateway/router_data.h"

namespace tack::gateway {

// Rows of two models, ranked by a score: the strong model answers those that score highest.
struct RankedRows {
  std::span<const float> score;         // [rows]; rows of one score are in random order
  std::span<const float> weak, strong;  // [rows], the models' scores
  // How often each row counts (bootstrap); empty: once.
  std::span<const int> times = {};
};

// Of the curve of quality against the share of strong calls (Ong et al. 2024, arXiv:2406.18665,
// section 2.3): `apgr` is the area between it and the weak model's quality, divided by that of the
// strong model; cpt50 and cpt80 the smallest shares that recover 50 and 80 % of the difference.
// Of every row's own threshold, not of ten as in the paper's program.
struct Recovery {
  double apgr = 0, cpt50 = 0, cpt80 = 0;
};
Recovery recovery(const RankedRows& rows);

// A way to rank prompts, measured on the rows, and the router's APGR minus its, paired by row.
struct RankedBaseline {
  std::string name;
  Recovery measured;
  Estimate ahead;
};

// Of two models.
struct PairEvaluation {
  Estimate apgr, cpt50, cpt80;
  std::vector<RankedBaseline> baselines;  // random first, prompt length, then others; hindsight
  struct Step {
    double share = 0, router = 0, length = 0, hindsight = 0;  // share of strong calls; qualities
  };
  std::vector<Step> curve;  // shares 0, 0.05, ..., 1
};

struct RouterEvaluation {
  std::int64_t rows = 0;
  std::vector<double> model_quality;  // [models], means
  // Mean difference between the chance that was told and what came, over ten bins of equal size
  // (Naeini et al. 2015), for each model.
  std::vector<double> calibration_error;

  // Under one policy.
  struct Routed {
    RoutingPolicy policy;
    Estimate quality;            // mean of the chosen models' scores
    Estimate kept;               // that, as a share of the strong model's
    std::vector<double> shares;  // of calls, [models]
    double cost = 0;             // mean, relative to the dearest model's
  };
  std::optional<Routed> routed;

  // Any number of models: each policy of the card, from dear to cheap.
  struct Step {
    double cost = 0, quality = 0;
    // Of calls shared out at random between single models, for the same cost: the best that needs
    // no router.
    double mixed = 0;
  };
  std::vector<Step> frontier;
  double hindsight_quality = 0, hindsight_cost = 0;  // the cheapest of the best for every row

  std::optional<PairEvaluation> pair;
};

// quality [rows, models]: what was foretold of each row. Without a policy only the curves.
RouterEvaluation evaluate_router(const RouterCard& card, const RouterData& data,
                                 std::span<const float> quality,
                                 const std::optional<RoutingPolicy>& policy,
                                 const MetricsOptions& options = {});

// What a router foretells of all rows; embeddings [rows, dims] or empty. `times_us`, when not null,
// gets what each row took.
Result<std::vector<float>> foretell(const LearnedRouter& router, std::span<const std::string> texts,
                                    std::span<const float> embeddings,
                                    std::vector<float>* times_us = nullptr);

}  // namespace tack::gateway

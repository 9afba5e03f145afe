#include "gateway/router_training.h"

#include <gtest/gtest.h>

#include "gateway/router_evaluation.h"
#include "gateway/router_policy.h"
#include "gateway/router_test_data.h"

namespace tack::gateway {
namespace {

RouterTrainingOptions quick() {
  RouterTrainingOptions options;
  options.trees = 30;
  options.leaf_rows = {10, 40};
  return options;
}

RouterEvaluation evaluated(const LearnedRouter& router, const RouterData& data) {
  const auto quality = foretell(router, data.texts, {});
  EXPECT_TRUE(quality);
  return evaluate_router(router.card(), data, *quality, router.card().policy, {.resamples = 50});
}

TEST(RouterTraining, LearnsAPlantedRule) {
  ThreadPool pool(2);
  const RouterData training = made_up_logs(1500, 1), held_back = made_up_logs(2500, 2);
  int grown = 0;
  RouterTrainingOptions options = quick();
  options.on_tree = [&] { ++grown; };
  const auto trained = train_router({&training, {}}, {&held_back, {}}, options, pool);
  ASSERT_TRUE(trained) << trained.error().message;
  EXPECT_EQ(grown, trees_to_grow(options));
  EXPECT_TRUE(trained->calibration.proven);
  EXPECT_GE(trained->calibration.kept_bound, 0.95 - 0.0005);  // what the bound is exact to

  const RouterData fresh = made_up_logs(3000, 3);
  const auto evaluation = evaluated(*trained->router, fresh);
  // A third of the prompts is hard, and the strong model gains nothing elsewhere: the best curve
  // reaches all there is at a share of 1/3, an area of 5/6.
  EXPECT_GT(evaluation.pair->apgr.value, 0.78);
  EXPECT_LT(evaluation.routed->shares[1], 0.4);
  EXPECT_GE(evaluation.routed->kept.value, 0.95);
  EXPECT_LT(evaluation.calibration_error[0], 0.06);
}

TEST(RouterTraining, TheSameSeedGivesTheSameBytes) {
  const RouterData training = made_up_logs(300, 1), held_back = made_up_logs(100, 2);
  ThreadPool one(1), two(2);
  const auto a = train_router({&training, {}}, {&held_back, {}}, quick(), one);
  const auto b = train_router({&training, {}}, {&held_back, {}}, quick(), two);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(*a->router->to_bytes(), *b->router->to_bytes());
}

TEST(RouterTraining, FewRowsProveNothingAndTheStrongModelAnswers) {
  ThreadPool pool(1);
  const RouterData training = made_up_logs(200, 1), held_back = made_up_logs(40, 2);
  RouterTrainingOptions options = quick();
  options.target = {.quality = 0.99, .confidence = 0.99};
  const auto trained = train_router({&training, {}}, {&held_back, {}}, options, pool);
  ASSERT_TRUE(trained);
  EXPECT_FALSE(trained->calibration.proven);
  EXPECT_TRUE(trained->router->card().policy.always_strong);
}

TEST(RouterTraining, AShareOfStrongCallsIsKept) {
  ThreadPool pool(2);
  const RouterData training = made_up_logs(1000, 1), held_back = made_up_logs(1000, 2);
  RouterTrainingOptions options = quick();
  options.target.strong_share = 0.25;
  const auto trained = train_router({&training, {}}, {&held_back, {}}, options, pool);
  ASSERT_TRUE(trained);
  const RouterData fresh = made_up_logs(4000, 3);
  EXPECT_NEAR(evaluated(*trained->router, fresh).routed->shares[1], 0.25, 0.03);
  // Another share with the same router.
  const auto quality = foretell(*trained->router, fresh.texts, {});
  for (const double share : {0.05, 0.5, 0.9}) {
    const auto policy = policy_for_share(trained->router->card(), share);
    ASSERT_TRUE(policy);
    const auto routed =
        evaluate_router(trained->router->card(), fresh, *quality, *policy, {.resamples = 2});
    EXPECT_NEAR(routed.routed->shares[1], share, 0.04) << share;
  }
}

TEST(RouterTraining, ThreeModelsShareTheWork) {
  ThreadPool pool(2);
  const RouterData training = made_up_logs(1500, 1, true), held_back = made_up_logs(800, 2, true);
  RouterTrainingOptions options = quick();
  options.prices = {{0.1, 0.1, {}}, {1, 1, {}}, {0.4, 0.4, {}}};
  const auto trained = train_router({&training, {}}, {&held_back, {}}, options, pool);
  ASSERT_TRUE(trained) << trained.error().message;
  EXPECT_TRUE(trained->calibration.proven);
  const auto evaluation = evaluated(*trained->router, made_up_logs(3000, 3, true));
  EXPECT_GE(evaluation.routed->kept.value, 0.94);
  EXPECT_LT(evaluation.routed->cost, 0.6);
  // Nowhere much worse than sharing calls out at random.
  for (const auto& step : evaluation.frontier) EXPECT_GT(step.quality, step.mixed - 0.02);
}

TEST(RouterTraining, EmbeddingsAreReadInPlaceOfWords) {
  ThreadPool pool(2);
  const auto with_embeddings = [](RouterData& data) {
    // The first of four numbers tells the hard prompts, and their texts do not.
    std::vector<float> out;
    for (std::string& text : data.texts) {
      out.insert(out.end(), {text.starts_with("Prove") ? 1.0F : -1.0F, 0.1F, 0.2F, 0.3F});
      text = "Hm.";
    }
    return out;
  };
  RouterData training = made_up_logs(500, 1), held_back = made_up_logs(300, 2);
  const auto a = with_embeddings(training), b = with_embeddings(held_back);
  RouterTrainingOptions options = quick();
  options.encoder = RouterEncoder{"made up", 4, {0, 0}};
  const auto trained = train_router({&training, a}, {&held_back, b}, options, pool);
  ASSERT_TRUE(trained) << trained.error().message;
  std::vector<float> hard(2), easy(2);
  const LearnedRouter& router = *trained->router;
  EXPECT_TRUE(router.needs_embedding());
  ASSERT_TRUE(router.quality("Hm.", std::vector{1.0F, 0.1F, 0.2F, 0.3F}, hard));
  ASSERT_TRUE(router.quality("Hm.", std::vector{-1.0F, 0.1F, 0.2F, 0.3F}, easy));
  EXPECT_LT(hard[0], easy[0] - 0.2F);
}

TEST(RouterTraining, RefusesWhatCannotBe) {
  ThreadPool pool(1);
  const RouterData few = made_up_logs(20, 1), enough = made_up_logs(100, 2),
                   three = made_up_logs(100, 1, true);
  const auto error = [&](const RouterData& training, const RouterData& held_back,
                         const RouterTrainingOptions& options) {
    const auto trained = train_router({&training, {}}, {&held_back, {}}, options, pool);
    return trained ? "" : trained.error().message;
  };
  EXPECT_EQ(error(few, enough, {}), "20 rows to train on are too few: at least 30");
  EXPECT_EQ(error(enough, few, {}), "20 rows to calibrate on are too few: at least 30");
  EXPECT_EQ(error(three, three, {}), "3 models need a price each: which is the cheaper one?");
  RouterTrainingOptions options;
  options.prices = {{1, 1, {}}, {1, 1, {}}};
  EXPECT_EQ(error(enough, enough, options), "all models cost the same: there is nothing to save");
  options.prices = {{2, 2, {}}, {1, 1, {}}};
  EXPECT_EQ(error(enough, enough, options),
            "'large' is to be the strong model, but none is cheaper");
}

TEST(RouterTraining, CrossFittingForetellsRowsItHasNotSeen) {
  ThreadPool pool(2);
  const RouterData data = made_up_logs(1000, 1);
  RouterTrainingOptions options = quick();
  int grown = 0;
  options.on_tree = [&] { ++grown; };
  const auto fitted = cross_fit_router({&data, {}}, 4, options, pool);
  ASSERT_TRUE(fitted) << fitted.error().message;
  EXPECT_EQ(grown, trees_to_grow(options, 4));
  const auto evaluation =
      evaluate_router(fitted->card, data, fitted->quality, std::nullopt, {.resamples = 50});
  EXPECT_GT(evaluation.pair->apgr.value, 0.75);
  // Not so well that it must have seen them: an area of 5/6 is all there is to know.
  EXPECT_LT(evaluation.pair->apgr.value, 0.9);
}

}  // namespace
}  // namespace tack::gateway

// SPDX-License-Identifier: Apache-2.0
#include <libgossip/base/collective_call.h>
#include <libgossip/base/error.h>
#include <libgossip/train/evaluation.h>

namespace gossip::train {
namespace {

/// Of the samples from number `first` to before `last`.
double num_correct(const TestSet& test, std::int64_t first, std::int64_t last) {
  GOSSIP_CHECK(test.num_samples >= 1, "The test set has {} samples: it must have at least one.",
               test.num_samples);
  return static_cast<double>(test.num_correct(first, last - first));
}

}  // namespace

double accuracy_of(const TestSet& test) {
  return num_correct(test, 0, test.num_samples) / static_cast<double>(test.num_samples);
}

double accuracy_of_common_model(transport::Group& group, const TestSet& test) {
  const CollectiveCall call("accuracy_of_common_model()", CollectiveCall::patience());
  const std::int64_t first = test.num_samples * group.rank() / group.size();
  const std::int64_t last = test.num_samples * (group.rank() + 1) / group.size();
  const double correct = num_correct(test, first, last);
  return transport::mean_of(group, correct) * group.size() / static_cast<double>(test.num_samples);
}

void evaluate(transport::Group& group, optim::Decentralized& optimizer, const TestSet& test,
              EpochRecord& record) {
  const CollectiveCall call("evaluate()", optimizer.timeout(), optimizer.steps(),
                            optimizer.is_synchronous());
  record.consensus_distance = optimizer.consensus_distance();
  optimizer.with_mean_model(
      [&] { record.test_accuracy_mean_model = accuracy_of_common_model(group, test); });
  record.test_accuracy_local = accuracy_of(test);
}

}  // namespace gossip::train

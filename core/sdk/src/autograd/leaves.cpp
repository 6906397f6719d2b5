// A backward pass in which one node gathers what arrives at all leaves. In libtorch each leaf has a node of its own, and for
// each node the engine sets the state of the thread, queues a task and makes buffers: for a small agent with some dozens of
// parameters that takes longer than what its layers compute.
//
// Rules: those of shim.cpp. A graph is changed for the time of the pass alone: its edges to leaves lead to the gatherer
// meanwhile, and are put back when the pass has ended, however it ended.
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/utils/grad_layout_contract.h>
#include <torch/csrc/autograd/variable.h>

#include <cstring>
#include <unordered_map>
#include <unordered_set>
#include <vector>

using at::Tensor;
using torch::autograd::AccumulateGrad;
using torch::autograd::Edge;
using torch::autograd::Node;
using torch::autograd::variable_list;

namespace {

using NodeHandle = decltype(Edge::function);

// Whether nobody but the leaf itself wants to see what arrives at it, and it lies on the CPU.
bool is_plain(const AccumulateGrad &leaf) {
  auto &own = const_cast<AccumulateGrad &>(leaf);
  return leaf.variable.defined() && leaf.variable.is_cpu() && own.pre_hooks().empty() && own.post_hooks().empty() &&
         own.tensor_pre_hooks().empty() && !own.tensor_post_acc_grad_hooks();
}

// The node that stands for all leaves: input `i` is what arrives at leaf `i`, summed.
struct Gatherer : Node {
  std::vector<NodeHandle> leaves;
  std::unordered_map<Node *, uint32_t> places;

  // As soon as all has arrived, as a leaf does.
  Gatherer() : Node(/*sequence_nr=*/UINT64_MAX) {}

  std::string name() const override { return "leaves"; }

  uint32_t place_of(const NodeHandle &leaf) {
    auto [found, is_new] = places.try_emplace(leaf.get(), static_cast<uint32_t>(leaves.size()));
    if (is_new) {
      leaves.push_back(leaf);
      add_input_metadata(static_cast<AccumulateGrad &>(*leaf).variable);
    }
    return found->second;
  }

  variable_list apply(variable_list &&grads) override {
    for (size_t i = 0; i < grads.size(); i++) {
      if (!grads[i].defined()) continue;
      auto &leaf = static_cast<AccumulateGrad &>(*leaves[i]);
      // The first gradient that nobody else holds is taken as it is.
      if (!at::GradMode::is_enabled() && !leaf.variable.grad().defined() && grads[i].use_count() == 1 &&
          grads[i].layout() == at::kStrided && !grads[i].requires_grad() && !grads[i].is_view() &&
          torch::autograd::utils::obeys_layout_contract(grads[i], leaf.variable)) {
        leaf.variable.mutable_grad() = std::move(grads[i]);
        continue;
      }
      variable_list one;
      one.push_back(std::move(grads[i]));
      leaf.apply(std::move(one));
    }
    return {};
  }
};

// Edges that lead to a gatherer, as long as it lives.
struct Redirected {
  struct Was {
    NodeHandle node;
    size_t edge;
    Edge to;
  };
  std::vector<Was> all;

  // Redirects the edges to leaves of all that `roots` depend on.
  explicit Redirected(const variable_list &roots) {
    auto gatherer = c10::make_intrusive<Gatherer>();
    std::unordered_set<Node *> seen;
    std::vector<NodeHandle> open;
    auto visit = [&](const NodeHandle &node) {
      if (node && seen.insert(node.get()).second) open.push_back(node);
    };
    for (const auto &root : roots) visit(root.grad_fn());
    while (!open.empty()) {
      auto node = std::move(open.back());
      open.pop_back();
      auto &edges = node->next_edges();
      for (size_t i = 0; i < edges.size(); i++) {
        auto *leaf = dynamic_cast<AccumulateGrad *>(edges[i].function.get());
        if (!leaf) {
          visit(edges[i].function);
        } else if (is_plain(*leaf)) {
          auto place = gatherer->place_of(edges[i].function);
          all.push_back({node, i, edges[i]});
          edges[i] = Edge(gatherer, place);
        }
      }
    }
  }

  ~Redirected() {
    for (auto &was : all) {
      auto &edges = was.node->next_edges();
      if (was.edge < edges.size()) edges[was.edge] = std::move(was.to);
    }
  }
};

}  // namespace

// Runs backward from `outputs` with these gradients of theirs; what arrives at leaves is added to their gradients.
extern "C" int efference_autograd_backward(Tensor *const *outputs, Tensor *const *grads, size_t n_outputs, char **message) {
  try {
    variable_list of, from;
    for (size_t i = 0; i < n_outputs; i++) {
      of.push_back(*outputs[i]);
      from.push_back(*grads[i]);
    }
    Redirected redirected(of);
    torch::autograd::backward(of, from);
    return 0;
  } catch (const std::exception &e) {
    *message = strdup(e.what());
    return 1;
  }
}

// A backward pass without libtorch's engine. The engine serves threads, devices, streams and hooks; for each pass it makes a
// task, and for each node it sets the state of the thread, queues, and makes buffers. For a small agent that takes as long as
// what its operations compute. Here the nodes of a graph on the CPU are called one after the other, in the engine's order.
//
// A graph that needs more (another device, hooks, anomaly detection) is libtorch's. Rules: those of shim.cpp.
#include <c10/util/SmallVector.h>
#include <c10/util/flat_hash_map.h>
#include <torch/csrc/autograd/anomaly_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/utils/grad_layout_contract.h>

#include <cstring>
#include <iterator>
#include <memory>
#include <queue>
#include <utility>
#include <vector>

#include "rust_node.h"

using at::Tensor;
using efference::RustNode;
using efference::elements;
using torch::autograd::AccumulateGrad;
using torch::autograd::Edge;
using torch::autograd::Node;
using torch::autograd::variable_list;

namespace {

// Whether the engine would do no more with this node than call it.
bool is_plain(Node &node) {
  if (!node.pre_hooks().empty() || !node.post_hooks().empty() || !node.tensor_pre_hooks().empty() ||
      node.tensor_post_acc_grad_hooks())
    return false;
  for (uint32_t i = 0; i < node.num_inputs(); i++) {
    if (!node.input_metadata(i).device().is_cpu()) return false;
  }
  return true;
}

// Whether a gradient has the strides of a dense tensor: most often so, and quickly seen.
bool lies_alike(const Tensor &grad, const Tensor &variable) {
  return variable.layout() == at::kStrided && variable.is_non_overlapping_and_dense() && grad.sizes() == variable.sizes() &&
         grad.strides() == variable.strides();
}

// Adds a gradient to the one that a leaf has gathered.
void gather(AccumulateGrad &leaf, Tensor &&grad) {
  // The first gradient that nobody else holds is taken as it is.
  const auto &variable = leaf.variable;
  if (!variable.grad().defined() && grad.use_count() == 1 && grad.layout() == at::kStrided && !grad.requires_grad() &&
      !grad.is_view() && (lies_alike(grad, variable) || torch::autograd::utils::obeys_layout_contract(grad, variable))) {
    leaf.variable.mutable_grad() = std::move(grad);
    return;
  }
  variable_list one;
  one.push_back(std::move(grad));
  leaf.apply(std::move(one));
}

// `to[i] += from[i]` for each of so many elements, in Rust, on the threads of kernels.
struct AddElements {
  void (*call)(const void *argument, float *to, const float *from, size_t n);
  const void *argument;
};

// Adds a gradient in place without libtorch. False: libtorch is to do it.
bool add_by_kernel(const Tensor &sum, const Tensor &grad, const AddElements &add_elements) {
  float *to, *from;
  size_t n, m;
  if (!efference::is_plain(sum) || !efference::is_plain(grad) || sum.sizes() != grad.sizes() || !sum.is_contiguous() ||
      !grad.is_contiguous() || !elements(sum, &to, &n) || !elements(grad, &from, &m))
    return false;
  add_elements.call(add_elements.argument, to, from, n);
  sum.unsafeGetTensorImpl()->bump_version();
  return true;
}

void add(Tensor &sum, Tensor &&grad, const AddElements &add_elements) {
  if (!sum.defined()) {
    sum = std::move(grad);
  } else if (sum.layout() == at::kStrided && grad.layout() == at::kStrided && sum.use_count() == 1 && sum.has_storage() &&
             sum.storage().use_count() == 1 && sum.is_non_overlapping_and_dense()) {
    if (!add_by_kernel(sum, grad, add_elements)) sum.add_(grad);
  } else {
    sum = sum + grad;
  }
}

// Where an edge leads; NOWHERE: its gradient is not wanted.
using Place = uint32_t;
constexpr Place NOWHERE = UINT32_MAX;

// A node that is still to be called: what has arrived at its outputs, and from how many edges something may yet come. The roots
// of the pass keep it alive.
struct Call {
  Node *node;
  RustNode *rust;        // the node, if it is one
  AccumulateGrad *leaf;  // the node, if it is one
  c10::SmallVector<Tensor, 1> grads;
  size_t first_edge = 0;  // in `Pass::edges`
  size_t missing = 0;
};

struct Pass {
  std::vector<Call> calls;
  std::vector<Place> edges;  // of all nodes
  ska::flat_hash_map<Node *, Place> places;
  std::priority_queue<std::pair<uint64_t, Place>> ready;  // the last that was recorded comes first

  // Keeps the memory for the next pass, unless this one was large.
  void clear() {
    if (calls.size() > 4096 || edges.size() > 65536) {
      *this = Pass();
      return;
    }
    calls.clear();
    edges.clear();
    places.clear();
    while (!ready.empty()) ready.pop();
  }

  // NOWHERE: the node is not plain.
  Place visit(Node *node) {
    auto [found, is_new] = places.emplace(node, static_cast<Place>(calls.size()));
    if (is_new) {
      if (!is_plain(*node)) return NOWHERE;
      auto *leaf = dynamic_cast<AccumulateGrad *>(node);
      calls.push_back({node, leaf ? nullptr : dynamic_cast<RustNode *>(node), leaf, {}});
      calls.back().grads.resize(node->num_inputs());
    }
    return found->second;
  }

  // Finds all that a root depends on. False: a node is not plain.
  bool find(const Edge &root) {
    auto next = calls.size();
    if (visit(root.function.get()) == NOWHERE) return false;
    for (; next < calls.size(); next++) {
      auto *node = calls[next].node;
      calls[next].first_edge = edges.size();
      for (const auto &edge : node->next_edges()) {
        edges.push_back(NOWHERE);
        if (!edge.is_valid()) continue;
        auto place = visit(edge.function.get());
        if (place == NOWHERE) return false;
        edges.back() = place;
        calls[place].missing++;
      }
    }
    return true;
  }

  // Begins with this gradient of the output that the root is.
  void begin(const Edge &root, const Tensor &grad, const AddElements &add_elements) {
    add(calls[places[root.function.get()]].grads[root.input_nr], Tensor(grad), add_elements);
  }

  // Refuses gradients of other shapes, as the engine does, and makes those fit that can be.
  static void check(Node &node, variable_list &grads) {
    const auto &edges = node.next_edges();
    bool fits = grads.size() == edges.size();
    for (size_t i = 0; fits && i < grads.size(); i++) {
      if (!edges[i].is_valid() || !grads[i].defined()) continue;
      const auto &is = edges[i].function->input_metadata(edges[i].input_nr);
      fits = grads[i].layout() == at::kStrided && is.is_same_shape(grads[i]) &&
             is.grad_dtype().value_or(grads[i].scalar_type()) == grads[i].scalar_type() && grads[i].device() == is.device();
    }
    if (fits) return;
    torch::autograd::validate_outputs(edges, grads, [&](const std::string &text) {
      return "Function " + node.name() + " returned an " + text;
    });
  }

  // All has arrived at a node. A leaf comes before all others that wait.
  void is_ready(Place place) {
    auto &call = calls[place];
    if (!call.leaf) {
      ready.emplace(call.node->sequence_nr(), place);
    } else if (call.grads[0].defined()) {
      gather(*call.leaf, std::move(call.grads[0]));
    }
  }

  void run(const AddElements &add_elements) {
    for (Place place = 0; place < calls.size(); place++) {
      if (calls[place].missing == 0) is_ready(place);
    }
    while (!ready.empty()) {
      auto &call = calls[ready.top().second];
      ready.pop();
      auto &node = *call.node;
      variable_list given(std::make_move_iterator(call.grads.begin()), std::make_move_iterator(call.grads.end()));
      call.grads.clear();
      node.will_release_variables();
      auto grads = call.rust ? call.rust->apply(std::move(given)) : node(std::move(given));
      node.release_variables();
      check(node, grads);
      for (size_t i = 0; i < grads.size(); i++) {
        auto place = edges[call.first_edge + i];
        if (place == NOWHERE) continue;
        auto &next = calls[place];
        if (grads[i].defined()) add(next.grads[node.next_edge(i).input_nr], std::move(grads[i]), add_elements);
        if (--next.missing == 0) is_ready(place);
      }
    }
  }
};

// The pass of this thread, empty. A pass within a pass is one of its own.
struct Lease {
  struct Reused {
    Pass pass;
    bool lent = false;
  };
  Reused &reused;
  std::unique_ptr<Pass> own;

  static Reused &of_thread() {
    static thread_local Reused reused;
    return reused;
  }
  Lease() : reused(of_thread()) {
    if (reused.lent) own = std::make_unique<Pass>();
    reused.lent = true;
  }
  ~Lease() {
    if (own) return;
    reused.pass.clear();
    reused.lent = false;
  }
  Lease(const Lease &) = delete;
  Pass &pass() { return own ? *own : reused.pass; }
};

}  // namespace

// Runs backward from `outputs` with these gradients of theirs; what arrives at leaves is added to their gradients.
extern "C" int efference_autograd_backward(Tensor *const *outputs, Tensor *const *grads, size_t n_outputs,
                                           AddElements add_elements, char **message) {
  try {
    Lease lease;
    auto &pass = lease.pass();
    std::vector<Edge> roots;
    bool plain = !torch::autograd::AnomalyMode::is_enabled();
    for (size_t i = 0; plain && i < n_outputs; i++) {
      roots.push_back(torch::autograd::impl::gradient_edge(*outputs[i]));
      plain = roots[i].is_valid() && grads[i]->layout() == at::kStrided && grads[i]->device() == outputs[i]->device() &&
              grads[i]->scalar_type() == outputs[i]->scalar_type() && !grads[i]->requires_grad() && pass.find(roots[i]);
    }
    if (plain) {
      at::AutoGradMode off(false);
      for (size_t i = 0; i < n_outputs; i++) pass.begin(roots[i], *grads[i], add_elements);
      pass.run(add_elements);
      return 0;
    }
    variable_list of, from;
    for (size_t i = 0; i < n_outputs; i++) {
      of.push_back(*outputs[i]);
      from.push_back(*grads[i]);
    }
    torch::autograd::backward(of, from);
    return 0;
  } catch (const std::exception &e) {
    *message = strdup(e.what());
    return 1;
  }
}

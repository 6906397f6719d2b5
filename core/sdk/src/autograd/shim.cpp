// What Rust cannot say: records operations written in Rust as nodes of libtorch's autograd, looks at tensors without going
// through its dispatcher, and finds a way onto its own threads. See ffi.rs for the Rust side.
//
// Rules of this boundary
//  * A Tensor* that goes in is lent for the call; one that comes out belongs to the receiver. Null: no tensor.
//  * No C++ exception enters Rust, and no panic enters C++: a failure is a status of 1 and a message.
//  * Whoever makes a message frees it: Rust by `release_message`, C++ by `efference_autograd_free`.
#include <ATen/EmptyTensor.h>
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <torch/csrc/autograd/autograd.h>

#include "rust_node.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

using at::Tensor;
using efference::OpTable;
using efference::RustNode;
using torch::autograd::variable_list;

static char *copy_message(const char *text) noexcept { return strdup(text); }

extern "C" {

void efference_autograd_free(char *message) { free(message); }

bool efference_autograd_grad_enabled() { return at::GradMode::is_enabled(); }

// Makes `outputs`, which are overwritten by handles for the caller, the results of a node that depends on
// `inputs`. Takes `op`, in failure too.
int efference_autograd_record(void *op, const OpTable *table, Tensor *const *inputs, size_t n_inputs, Tensor *const *saved,
                        size_t n_saved, Tensor **outputs, size_t n_outputs, char **message) {
  try {
    auto node = c10::make_intrusive<RustNode>(op, table);
    node->inputs = n_inputs;
    torch::autograd::edge_list edges;
    for (size_t i = 0; i < n_inputs; i++) {
      if (!inputs[i]->defined()) continue;
      node->defined.push_back(i);
      edges.push_back(torch::autograd::impl::gradient_edge(*inputs[i]));
    }
    node->set_next_edges(std::move(edges));
    std::vector<std::unique_ptr<Tensor>> owned;
    for (size_t i = 0; i < n_outputs; i++) {
      // What is not new (an input, a view, what has a history already) is made a tensor of its own.
      const auto &t = *outputs[i];
      bool old = t.requires_grad() || t.is_view();
      for (size_t input = 0; input < n_inputs; input++) old |= t.is_same(*inputs[input]);
      auto own = std::make_unique<Tensor>(old ? t.detach() : t);
      if (torch::autograd::isDifferentiableType(own->scalar_type())) torch::autograd::create_gradient_edge(*own, node);
      owned.push_back(std::move(own));
    }
    for (size_t i = 0; i < n_saved; i++) {
      const auto &t = *saved[i];
      size_t o = 0;
      while (o < n_outputs && !t.is_same(*outputs[o])) o++;
      bool is_output = o < n_outputs;
      if (is_output) node->outputs.emplace_back(*owned[o], /*is_output=*/true);
      node->saved.push_back(is_output ? Tensor() : t);
      node->versions.push_back(is_output ? RustNode::OUTPUT : t.defined() ? static_cast<int64_t>(t._version()) : 0);
    }
    for (size_t i = 0; i < n_outputs; i++) outputs[i] = owned[i].release();
    return 0;
  } catch (const std::exception &e) {
    *message = copy_message(e.what());
    return 1;
  }
}

// The gradients of `inputs` from those of `outputs`, through a graph that is kept; null for one that they do not
// depend on.
int efference_autograd_gradients(Tensor *const *outputs, Tensor *const *grads, size_t n_outputs, Tensor *const *inputs,
                           size_t n_inputs, Tensor **out, char **message) {
  try {
    variable_list of, from, to;
    for (size_t i = 0; i < n_outputs; i++) {
      of.push_back(*outputs[i]);
      from.push_back(*grads[i]);
    }
    for (size_t i = 0; i < n_inputs; i++) to.push_back(*inputs[i]);
    auto found = torch::autograd::grad(of, to, from, /*retain_graph=*/true, /*create_graph=*/false,
                                       /*allow_unused=*/true);
    std::vector<std::unique_ptr<Tensor>> owned;
    for (auto &t : found) owned.push_back(t.defined() ? std::make_unique<Tensor>(std::move(t)) : nullptr);
    for (size_t i = 0; i < n_inputs; i++) out[i] = owned[i].release();
    return 0;
  } catch (const std::exception &e) {
    *message = copy_message(e.what());
    return 1;
  }
}

// Takes the gradient away that was gathered in a leaf: the next one is put there, not added.
void efference_autograd_clear_gradient(Tensor *leaf) { leaf->mutable_grad() = Tensor(); }

// The gradients that leaves have gathered, taken away from them; null for one that has none.
void efference_autograd_take_gradients(Tensor *const *leaves, size_t n_leaves, Tensor **out) {
  for (size_t i = 0; i < n_leaves; i++) {
    out[i] = nullptr;
    if (!leaves[i]->grad().defined()) continue;
    auto &gradient = leaves[i]->mutable_grad();
    out[i] = new Tensor(std::move(gradient));
    gradient = Tensor();
  }
}

// libtorch makes the node of a leaf when the leaf is recorded, and frees it with the graph. One that is held here is found again
// by the next graph. To be freed by `efference_autograd_release_leaf`; null: this is no leaf that gathers gradients.
using Leaf = decltype(torch::autograd::Edge::function);
void *efference_autograd_hold_leaf(const Tensor *leaf) {
  try {
    if (!leaf->defined() || !leaf->requires_grad() || !leaf->is_leaf()) return nullptr;
    return new Leaf(torch::autograd::impl::grad_accumulator(*leaf));
  } catch (const std::exception &) {
    return nullptr;
  }
}

void efference_autograd_release_leaf(void *leaf) { delete static_cast<Leaf *>(leaf); }

// Counts a change of a tensor's elements that libtorch did not make itself: a backward pass that saved the tensor before
// is then an error, as after an in-place operation. One atomic addition.
void efference_autograd_bump_version(const Tensor *tensor) {
  if (tensor->defined() && !tensor->is_inference()) tensor->unsafeGetTensorImpl()->bump_version();
}

// Whether the elements of a tensor fill one stretch of memory, each once, in whatever order.
bool efference_autograd_non_overlapping_and_dense(const Tensor *tensor) {
  return tensor->defined() && tensor->layout() == at::kStrided && tensor->is_non_overlapping_and_dense();
}

// Where the numbers of an f32 tensor on the CPU are that is known to be dense, and how many; false if it is of another kind.
static bool elements(const Tensor &t, float **data, size_t *count) {
  try {
    if (!t.is_cpu() || t.scalar_type() != at::kFloat || t.is_neg()) return false;
    *data = static_cast<float *>(t.data_ptr());
    *count = static_cast<size_t>(t.numel());
    return true;
  } catch (const std::exception &) {
    return false;
  }
}

// Where the numbers of a dense f32 tensor on the CPU are, and how many; false if it is none.
bool efference_autograd_dense_f32(const Tensor *tensor, float **data, size_t *count) {
  return efference_autograd_non_overlapping_and_dense(tensor) && elements(*tensor, data, count);
}

// The same where they lie in the order of the dims, too.
bool efference_autograd_contiguous_f32(const Tensor *tensor, float **data, size_t *count) {
  const Tensor &t = *tensor;
  return t.defined() && t.layout() == at::kStrided && t.is_contiguous() && elements(t, data, count);
}

// Whether that is so, without asking where: a few instructions.
bool efference_autograd_is_contiguous_f32(const Tensor *tensor) {
  const Tensor &t = *tensor;
  return t.defined() && t.is_cpu() && t.scalar_type() == at::kFloat && t.layout() == at::kStrided && t.is_contiguous() &&
         !t.is_neg();
}

// How many dims a tensor has, of which the first ones are written to `sizes`, as many as there is room for.
size_t efference_autograd_shape(const Tensor *tensor, int64_t *sizes, size_t room) {
  if (!tensor->defined()) return 0;
  auto all = tensor->sizes();
  for (size_t i = 0; i < all.size() && i < room; i++) sizes[i] = all[i];
  return all.size();
}

// How many elements a tensor has.
size_t efference_autograd_count(const Tensor *tensor) {
  return tensor->defined() ? static_cast<size_t>(tensor->numel()) : 0;
}

// A new f32 tensor on the CPU of the same shape and strides; null if there is no memory for it.
Tensor *efference_autograd_empty_like(const Tensor *tensor) {
  try {
    return new Tensor(at::detail::empty_strided_cpu(tensor->sizes(), tensor->strides(), at::kFloat));
  } catch (const std::exception &) {
    return nullptr;
  }
}

// A new f32 tensor on the CPU, by the short way round libtorch's dispatcher; null if there is no memory for it.
Tensor *efference_autograd_empty(const int64_t *sizes, size_t n_sizes) {
  try {
    return new Tensor(at::detail::empty_cpu(at::IntArrayRef(sizes, n_sizes), at::kFloat));
  } catch (const std::exception &) {
    return nullptr;
  }
}

// A new f32 tensor on the CPU of the same shape, in the order of its dims; null if there is no memory for it.
Tensor *efference_autograd_empty_shaped(const Tensor *tensor) {
  try {
    return new Tensor(at::detail::empty_cpu(tensor->sizes(), at::kFloat));
  } catch (const std::exception &) {
    return nullptr;
  }
}

// Whether two tensors have the same shape.
bool efference_autograd_same_shape(const Tensor *a, const Tensor *b) {
  return a->defined() && b->defined() && a->sizes() == b->sizes();
}

// Whether this handle is the only one of its tensor, and that the only one of its memory.
bool efference_autograd_unique(const Tensor *tensor) {
  return tensor->defined() && tensor->use_count() == 1 && tensor->has_storage() &&
         tensor->storage().use_count() == 1;
}

// Calls `task` once on each of up to `threads` of libtorch's threads, this one among them, and waits.
int efference_autograd_parallel(size_t threads, void (*task)(const void *), const void *argument, char **message) {
  try {
    // libtorch is compiled against its own OpenMP; a parallel region compiled here could start a second pool of
    // threads. An iterator over `threads` bytes runs its loop inside libtorch instead.
    auto bytes = at::empty({static_cast<int64_t>(threads)}, at::kByte);
    auto iterator = at::TensorIterator::nullary_op(bytes);
    iterator.for_each([&](char **, const int64_t *, int64_t n, int64_t m) {
      for (int64_t i = 0; i < n * m; i++) task(argument);
    }, 1);
    return 0;
  } catch (const std::exception &e) {
    *message = copy_message(e.what());
    return 1;
  }
}

}

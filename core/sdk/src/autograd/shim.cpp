// What Rust cannot say: records operations written in Rust as nodes of libtorch's autograd, looks at tensors without going
// through its dispatcher, and finds a way onto its own threads. See ffi.rs for the Rust side.
//
// Rules of this boundary
//  * A Tensor* that goes in is lent for the call; one that comes out belongs to the receiver. Null: no tensor.
//  * No C++ exception enters Rust, and no panic enters C++: a failure is a status of 1 and a message.
//  * Whoever makes a message frees it: Rust by `release_message`, C++ by `efference_autograd_free`.
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
using efference::elements;
using efference::is_plain;
using torch::autograd::variable_list;

static char *copy_message(const char *text) noexcept { return strdup(text); }

extern "C" {

void efference_autograd_free(char *message) { free(message); }

bool efference_autograd_grad_enabled() { return at::GradMode::is_enabled(); }

// Which tensors require gradients; an undefined one does not.
void efference_autograd_require_gradients(Tensor *const *tensors, size_t n, bool *require) {
  for (size_t i = 0; i < n; i++) require[i] = tensors[i]->defined() && tensors[i]->requires_grad();
}

// Makes `outputs`, which are overwritten by handles for the caller, the results of a node that depends on
// `inputs`; those from number `unchanged_from` on must not change until its backward pass. Takes `op`, in failure too.
int efference_autograd_record(void *op, const OpTable *table, Tensor *const *inputs, size_t n_inputs, size_t unchanged_from,
                        Tensor *const *saved, size_t n_saved, Tensor **outputs, size_t n_outputs, char **message) {
  try {
    auto node = c10::make_intrusive<RustNode>(op, table);
    node->inputs = n_inputs;
    node->defined.reserve(n_inputs);
    if (unchanged_from < n_inputs) node->unchanged_edges.reserve(n_inputs - unchanged_from);
    torch::autograd::edge_list edges;
    edges.reserve(n_inputs);
    for (size_t i = 0; i < n_inputs; i++) {
      if (!inputs[i]->defined()) continue;
      if (i >= unchanged_from) node->expect_unchanged(*inputs[i], edges.size());
      node->defined.push_back(i);
      edges.push_back(torch::autograd::impl::gradient_edge(*inputs[i]));
    }
    node->set_next_edges(std::move(edges));
    std::vector<std::unique_ptr<Tensor>> owned;
    owned.reserve(n_outputs);
    node->saved.reserve(n_saved);
    node->versions.reserve(n_saved);
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
      node->versions.push_back(is_output ? RustNode::OUTPUT : t.defined() ? static_cast<int64_t>(efference::version(t)) : 0);
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
    auto &gradient = leaves[i]->mutable_grad();
    out[i] = gradient.defined() ? new Tensor(std::move(gradient)) : nullptr;
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

// Where the numbers of a dense f32 tensor on the CPU are, and how many; false if it is none.
bool efference_autograd_dense_f32(const Tensor *tensor, float **data, size_t *count) {
  return is_plain(*tensor) && tensor->is_non_overlapping_and_dense() && elements(*tensor, data, count);
}

// The same where they lie in the order of the dims, too.
bool efference_autograd_contiguous_f32(const Tensor *tensor, float **data, size_t *count) {
  return is_plain(*tensor) && tensor->is_contiguous() && elements(*tensor, data, count);
}

// Whether that is so, without asking where.
bool efference_autograd_is_contiguous_f32(const Tensor *tensor) { return is_plain(*tensor) && tensor->is_contiguous(); }

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

// A handle of the same memory without a history, as `detach` returns it, by the short way round the dispatcher; null: use that.
Tensor *efference_autograd_detach(const Tensor *tensor) {
  if (!tensor->defined()) return nullptr;
  try {
    auto *impl = tensor->unsafeGetTensorImpl();
    return new Tensor(impl->shallow_copy_and_detach(impl->version_counter(), /*allow_tensor_metadata_change=*/false));
  } catch (const std::exception &) {
    return nullptr;
  }
}

// Part of a tensor along a dim, as `narrow` returns it where nothing is recorded, by the short way; null: use that.
Tensor *efference_autograd_narrow(const Tensor *tensor, size_t dim, int64_t start, int64_t length) {
  const Tensor &t = *tensor;
  if (!is_plain(t) || (at::GradMode::is_enabled() && t.requires_grad()) || dim >= static_cast<size_t>(t.dim())) return nullptr;
  try {
    c10::SmallVector<int64_t, 5> sizes(t.sizes().begin(), t.sizes().end());
    if (start < 0 || length < 0 || start > sizes[dim] - length) return nullptr;
    sizes[dim] = length;
    auto *impl = t.unsafeGetTensorImpl();
    auto part = impl->shallow_copy_and_detach(impl->version_counter(), /*allow_tensor_metadata_change=*/true);
    part->set_sizes_and_strides(sizes, t.strides(), impl->storage_offset() + start * t.strides()[dim]);
    return new Tensor(std::move(part));
  } catch (const std::exception &) {
    return nullptr;
  }
}

// Whether two tensors have the same shape.
bool efference_autograd_same_shape(const Tensor *a, const Tensor *b) {
  return a->defined() && b->defined() && a->sizes() == b->sizes();
}

// Whether they have the same strides, too.
bool efference_autograd_same_strides(const Tensor *a, const Tensor *b) {
  return efference_autograd_same_shape(a, b) && a->layout() == at::kStrided && b->layout() == at::kStrided &&
         a->strides() == b->strides();
}

// Whether this handle is the only one of its tensor, and that the only one of its memory.
bool efference_autograd_unique(const Tensor *tensor) {
  return tensor->defined() && tensor->use_count() == 1 && tensor->has_storage() &&
         tensor->storage().use_count() == 1;
}

}

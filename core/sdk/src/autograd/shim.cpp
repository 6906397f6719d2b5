// What Rust cannot say: one node of libtorch's autograd for all operations written in Rust, and a way onto
// libtorch's own threads. See ffi.rs for the Rust side; the two agree on the types in the first block.
//
// Rules of this boundary
//  * A Tensor* that goes in is lent for the call; one that comes out belongs to the receiver. Null: no tensor.
//  * No C++ exception enters Rust, and no panic enters C++: a failure is a status of 1 and a message.
//  * Whoever makes a message frees it: Rust by `release_message`, C++ by `efference_autograd_free`.
#include <ATen/EmptyTensor.h>
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/autograd/variable.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

using at::Tensor;
using torch::autograd::variable_list;

extern "C" struct OpTable {
  const char *name;  // not terminated
  size_t name_length;
  int (*backward)(const void *op, Tensor *const *saved, size_t n_saved, Tensor *const *grads, size_t n_grads,
                  const bool *needs, Tensor **out, size_t n_inputs, char **message);
  void (*release)(void *op);
  void (*release_message)(char *message);
};

namespace {

std::vector<Tensor *> lend(variable_list &list) {
  std::vector<Tensor *> pointers;
  pointers.reserve(list.size());
  for (auto &t : list) pointers.push_back(t.defined() ? &t : nullptr);
  return pointers;
}

variable_list take(const std::vector<Tensor *> &pointers) {
  variable_list list;
  list.reserve(pointers.size());
  for (auto *t : pointers) {
    std::unique_ptr<Tensor> owned(t);
    list.push_back(t ? std::move(*t) : Tensor());
  }
  return list;
}

char *copy_message(const char *text) noexcept { return strdup(text); }

// The node of an operation that has run already, in Rust: it owns the Rust object and what that saved. (A node of our
// own rather than a `torch::autograd::Function`, whose making takes longer than many an operation.)
struct RustNode : torch::autograd::Node {
  void *op;
  const OpTable *table;
  size_t inputs = 0;
  std::vector<size_t> defined;  // which inputs the node has edges to: those that are defined
  // What was saved. Outputs are kept by libtorch, which knows how to hold them without a circle; of the others we
  // only need to see whether they were changed, which is a good deal cheaper.
  variable_list saved;
  std::vector<int64_t> versions;  // of the saved tensor; OUTPUT: it is the next one of `outputs`
  std::vector<torch::autograd::SavedVariable> outputs;
  bool released = false;
  static constexpr int64_t OUTPUT = -1;

  RustNode(void *o, const OpTable *t) : op(o), table(t) {}
  ~RustNode() override { table->release(op); }

  std::string name() const override { return std::string(table->name, table->name_length); }

  void release_variables() override {
    std::lock_guard<std::mutex> lock(mutex_);
    saved.clear();
    outputs.clear();
    released = true;
  }

  // The saved tensors as they were saved.
  variable_list unpacked() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (released) throw std::runtime_error(torch::autograd::ERR_BACKWARD_TWICE);
    auto all = saved;
    for (size_t i = 0, output = 0; i < all.size(); i++) {
      if (versions[i] == OUTPUT)
        all[i] = outputs[output++].unpack(getptr());
      else if (all[i].defined() && static_cast<int64_t>(all[i]._version()) != versions[i])
        throw std::runtime_error("a tensor that the backward pass of '" + name() +
                                 "' needs has been modified by an inplace operation");
    }
    return all;
  }

  variable_list apply(variable_list &&grads) override {
    auto all_saved = unpacked();
    auto needs = std::make_unique<bool[]>(inputs);
    for (size_t i = 0; i < defined.size(); i++) needs[defined[i]] = task_should_compute_output(i);

    bool differentiable = false;  // is the gradient itself to be differentiated?
    if (at::GradMode::is_enabled()) {
      for (const auto &t : all_saved) differentiable |= t.defined() && t.requires_grad();
      for (const auto &t : grads) differentiable |= t.defined() && t.requires_grad();
    }

    auto lent_saved = lend(all_saved);
    auto lent_grads = lend(grads);
    std::vector<Tensor *> out(inputs, nullptr);
    char *message = nullptr;
    int status;
    {
      at::AutoGradMode off(false);
      status = table->backward(op, lent_saved.data(), lent_saved.size(), lent_grads.data(), lent_grads.size(),
                               needs.get(), out.data(), out.size(), &message);
    }
    auto all = take(out);
    if (status) {
      std::string text = message ? message : "no message";
      table->release_message(message);
      throw std::runtime_error(text);
    }
    variable_list result;
    result.reserve(defined.size());
    for (auto i : defined) result.push_back(std::move(all[i]));
    if (differentiable) {
      // As Python's `once_differentiable`: asking for the second derivative is an error that says so.
      for (auto &t : result) {
        if (t.defined()) t = t.detach().set_requires_grad(true);
      }
      std::string text =
          "operation '" + name() + "' is differentiable only once: its backward pass is written by hand";
      auto error = c10::make_intrusive<torch::autograd::DelayedError>(text, result.size());
      at::AutoGradMode on(true);
      result = (*error)(std::move(result));
    }
    return result;
  }
};

}  // namespace

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

// The node of libtorch's autograd that stands for an operation written in Rust. See ffi.rs for the Rust side; the two agree
// on the types in the first block. The rules of this boundary stand in shim.cpp.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace efference {

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

// Pointers to the tensors of a list; to those that are undefined too, unless they are to be null.
inline std::vector<Tensor *> lend(variable_list &list, bool undefined_is_null) {
  std::vector<Tensor *> pointers;
  pointers.reserve(list.size());
  for (auto &t : list) pointers.push_back(t.defined() || !undefined_is_null ? &t : nullptr);
  return pointers;
}

inline variable_list take(const std::vector<Tensor *> &pointers) {
  variable_list list;
  list.reserve(pointers.size());
  for (auto *t : pointers) {
    std::unique_ptr<Tensor> owned(t);
    list.push_back(t ? std::move(*t) : Tensor());
  }
  return list;
}

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

    auto lent_saved = lend(all_saved, /*undefined_is_null=*/false);
    auto lent_grads = lend(grads, /*undefined_is_null=*/true);
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

}  // namespace efference

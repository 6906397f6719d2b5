// The C boundary between the efference host and its plugins: `repr(C)` types and nothing else.
//
// Plugin authors in Rust use `efference-sdk`, which hides all of this. Authors in C or C++ include
// `include/efference.h`, which is made from this crate. One file here declares one plugin kind.
//
// # Rules
//
// * **One call shape.** Every function is `(this, arguments…, out, err) -> Status`. If it returns `ef_OK`, it has
//   written its result to `*out`. Otherwise it has filled `*err` and written no result. A function without a result
//   takes `out` as a `void *` that it ignores.
// * **One object shape.** An `ef_Object` is an opaque pointer and a table of functions. An object that a function
//   returns is owned by the caller, who calls `destroy` once. An object that is passed as an argument, or inside of
//   one, is borrowed for the call: its `destroy` is not called.
// * **Errors.** An `ef_Error` is a list of frames, from the outermost to the innermost: which plugin, if the frame names one,
//   and a sentence for a person. Who receives it frees it as any list. An error in an option names the option's path.
// * **Tensors** are pointers to libtorch's `at::Tensor`. `const ef_Tensor *` is borrowed for the call; `ef_Tensor *` moves
//   to the receiver, who frees it. To keep a borrowed one, copy the `at::Tensor`, which shares its elements. What is borrowed is
//   not changed in place.
// * **Grad mode** is on while a trainer steps, and so in a goal's loss and transition, in cells and in layers: autograd
//   sees through what they compute. It is off in both functions of a VJP, in `updated` and in `act`.
// * **Lists** (`ef_List`) are returned: the receiver takes over each element, then calls `free` once. **Slices**
//   (`ef_Slice`) and **texts** (`ef_Str`, UTF-8 without a terminating zero) are borrowed for the call.
// * **Sizes.** Each table and each struct that is passed by pointer begins with its `size` in bytes, as its maker
//   knows it. A receiver refuses one that lacks fields which it needs, and ignores fields that it does not know.
//   Functions that are appended to a table within one `ef_ABI_VERSION` are optional: null, or beyond `size`, means
//   that the object does not have them.
// * **Nothing unwinds** across the boundary. A panic or exception is caught by the side where it happens; one that is not
//   ends the process.
// * **Threads**: each object is called from one thread at a time, not always the same one. What is borrowed for a call
//   belongs to that call's thread. The host's functions in `ef_HostApi` may be called from any.
// * **State of the process** (grad mode, default dtype, device and stream, number of threads, locale, working
//   directory, signal handlers) is left as it was found.
// * Libraries are never unloaded.

#ifndef EFFERENCE_H
#define EFFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// An `at::Tensor` of libtorch. Never read through this type.
typedef struct ef_Tensor ef_Tensor;

// The one symbol that a plugin library exports: a constant `ef_Library`.
#define ef_ENTRY_SYMBOL "efference_plugin"

// The first bytes of every `ef_Manifest`.
#define ef_MAGIC {'E', 'F', 'F', 'E', 'R', 'E', 'N', 'C'}


// The number of this boundary. It changes when an old plugin could no longer be called safely.
#define ef_ABI_VERSION 2

// Room for the list of plugins in a `ef_Manifest`, in bytes, with the terminating zero.
#define ef_PLUGINS_LEN 2048

// Room for the list of features in a `ef_Manifest`, in bytes, with the terminating zero.
#define ef_FEATURES_LEN 256

// What a plugin is for.
enum ef_Kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Sends observations and takes actions.
    ef_Kind_Environment = 1,
    // A linear map.
    ef_Kind_Layer = 2,
    // State and input to next state.
    ef_Kind_Cell = 3,
    // How gradients travel through time.
    ef_Kind_Trainer = 4,
    // What is minimised and maximised.
    ef_Kind_Goal = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ef_Kind ef_Kind;
#else
typedef uint32_t ef_Kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What is lost when an environment is saved and restored.
enum ef_Restores
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // It begins anew.
    ef_Restores_Fresh = 0,
    // It comes back by playing the same actions again.
    ef_Restores_Replay = 1,
    // Nothing is lost.
    ef_Restores_Exact = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ef_Restores ef_Restores;
#else
typedef uint32_t ef_Restores;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How a call ended.
typedef int32_t ef_Status;

// One decision that an agent makes at a time: a choice among `choices`, or, if that is 0, a value in −1…1.
//
// In a vector of actions a choice takes `choices` elements (1 for what was chosen, 0 for the others), a value one.
typedef struct ef_ActionGroup {
    // How many there are to choose from, at least 2; 0: a value.
    uint32_t choices;
} ef_ActionGroup;
// A value in −1…1.
#define ef_ActionGroup_VALUE (ef_ActionGroup){ .choices = 0 }

// Borrowed elements.
typedef struct ef_Slice_ActionGroup {
    // First element; may be anything if `len` is 0.
    const struct ef_ActionGroup *ptr;
    // How many.
    size_t len;
} ef_Slice_ActionGroup;

// What actions are asked for.
typedef struct ef_ActionRequest {
    // Size of this struct, in bytes.
    size_t size;
    // Of the stream that wants the most; one that wants less ignores the rest.
    struct ef_Slice_ActionGroup groups;
    // A seed for random numbers, from the experiment's seed and the step.
    uint64_t seed;
    // Whether the best actions are wanted, as in an evaluation, and no exploration.
    bool greedy;
} ef_ActionRequest;

// A borrowed piece of UTF-8 text, without a terminating zero.
typedef struct ef_Str {
    // First byte; may be anything if `len` is 0.
    const uint8_t *ptr;
    // Length in bytes.
    size_t len;
} ef_Str;

// A network of the trainer's own: a stack of the experiment's layer.
typedef struct ef_NetworkSpec {
    // Size of this struct, in bytes.
    size_t size;
    // Its name, which is also the name of its parameter group.
    struct ef_Str name;
    // Features in.
    int64_t ins;
    // Features out.
    int64_t outs;
    // How many layers, at least 1.
    int64_t layers;
    // Name of the nonlinearity between layers, such as `softsign`.
    struct ef_Str nonlinearity;
    // Whether its output is zero at the start.
    bool zero_at_start;
    // The group's learning rate; NaN: the optimizer's.
    double learning_rate;
} ef_NetworkSpec;

// One message of an error, and the plugin that it came through, if it came through one there.
typedef struct ef_ErrorFrame {
    // A `ef_Kind`; 0: the frame names no plugin.
    uint32_t plugin_kind;
    // The plugin's name.
    struct ef_Str plugin;
    // The message; empty if the frame only names a plugin.
    struct ef_Str message;
} ef_ErrorFrame;

// Elements that the receiver takes over. What they point to without owning it (names) lives until `free`.
typedef struct ef_List_ErrorFrame {
    // First element; may be anything if `len` is 0.
    struct ef_ErrorFrame *ptr;
    // How many.
    size_t len;
    // What `free` is called with.
    void *owner;
    // Frees the list, but no tensor in it; null if there is nothing to free.
    void (*free)(void *owner);
} ef_List_ErrorFrame;

// Why a call failed. The receiver frees `frames`, whose owner also owns the texts.
typedef struct ef_Error {
    // From the outermost to the innermost.
    struct ef_List_ErrorFrame frames;
    // The path of the option that is wrong, such as `synthetic_gradient.layers`; empty: no option is.
    struct ef_Str option;
} ef_Error;

// Functions of an agent that is being made.
typedef struct ef_AgentBuilderVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Frees an object that was returned.
    void (*destroy)(void *this_);
    // Makes a network that the agent keeps under its name.
    ef_Status (*network)(void *this_, const struct ef_NetworkSpec *spec, void *out, struct ef_Error *err);
    // Keeps a slow copy of the cell, whose parameters follow after each update:
    // `slow ← decay · slow + (1 − decay) · cell`.
    ef_Status (*slow_cell)(void *this_, double decay, void *out, struct ef_Error *err);
} ef_AgentBuilderVTable;

// Borrowed elements.
typedef struct ef_Slice_u64 {
    // First element; may be anything if `len` is 0.
    const uint64_t *ptr;
    // How many.
    size_t len;
} ef_Slice_u64;

// Borrowed elements.
typedef struct ef_Slice_f32 {
    // First element; may be anything if `len` is 0.
    const float *ptr;
    // How many.
    size_t len;
} ef_Slice_f32;

// Where a frame stands in an episode.
typedef uint32_t ef_StepType;
// Within an episode, or in a stream without episodes.
#define ef_StepType_MIDDLE 0
// The first frame of an episode.
#define ef_StepType_FIRST 1
// The last frame of an episode, whose future is worth nothing: it has come to its own end.
#define ef_StepType_TERMINATED 2
// The last frame of an episode that was cut off, as by a time limit: its future is worth what it would be.
#define ef_StepType_TRUNCATED 3

// Borrowed elements.
typedef struct ef_Slice_StepType {
    // First element; may be anything if `len` is 0.
    const ef_StepType *ptr;
    // How many.
    size_t len;
} ef_Slice_StepType;

// What came from the environment at one moment, for the streams that observed something: a row each.
typedef struct ef_Moment {
    // Size of this struct, in bytes.
    size_t size;
    // The active streams, in the order of the rows; each at most once, at least one.
    struct ef_Slice_u64 streams;
    // (rows, length): what they observed, the goal's reserved slots first; NaN: missing.
    const ef_Tensor *observation;
    // What is to be maximised, one a row, with the goal's bonus; NaN: absent.
    struct ef_Slice_f32 reward;
    // (rows, width), on the CPU: the action that was done in response to the stream's frame before; NaN: none was.
    const ef_Tensor *action;
    // Where each row stands in an episode.
    struct ef_Slice_StepType step_types;
} ef_Moment;

// What a prediction is compared with.
typedef struct ef_LossInput {
    // Size of this struct, in bytes.
    size_t size;
    // What came.
    const struct ef_Moment *moment;
    // (rows, state size): the states before it; carries gradient. A state begins with the prediction of the
    // observation.
    const ef_Tensor *state;
    // The same with the observation written over its front, limited to ±1; without gradient. A loss compares the whole
    // state with it: behind the observation it is the state itself, limited, and nothing else keeps the state there
    // within ±1. A goal gets it with the elements that an environment only shows as they are in the state, and with those
    // that are only to be predicted as they came, which the moment does not show: see `ef_Comparison`.
    const ef_Tensor *target;
    // The states after it, with gradient, from a trainer that makes them first; null from others.
    const ef_Tensor *next;
    // Counts unrolls: when it has changed, the graphs of what was computed before are freed.
    uint64_t unroll;
} ef_LossInput;

// A term of a loss.
typedef struct ef_LossTerm {
    // Its name.
    struct ef_Str name;
    // One number, or one a row. Handed over.
    ef_Tensor *value;
    // One number a row, without gradient: then the term is −Σ(error · value). Null: it is Σ value. Or (2, rows): behind
    // the errors, what becomes of each row's trace in this step: 1: it goes on, 0: it begins anew, −1: it rests. Handed
    // over.
    ef_Tensor *error;
} ef_LossTerm;

// Elements that the receiver takes over. What they point to without owning it (names) lives until `free`.
typedef struct ef_List_LossTerm {
    // First element; may be anything if `len` is 0.
    struct ef_LossTerm *ptr;
    // How many.
    size_t len;
    // What `free` is called with.
    void *owner;
    // Frees the list, but no tensor in it; null if there is nothing to free.
    void (*free)(void *owner);
} ef_List_LossTerm;

// A tensor and its name. In a `ef_Slice` the tensor is borrowed, in a `ef_List` it moves to the receiver.
typedef struct ef_NamedTensor {
    // The name.
    struct ef_Str name;
    // The tensor.
    ef_Tensor *tensor;
} ef_NamedTensor;

// Elements that the receiver takes over. What they point to without owning it (names) lives until `free`.
typedef struct ef_List_NamedTensor {
    // First element; may be anything if `len` is 0.
    struct ef_NamedTensor *ptr;
    // How many.
    size_t len;
    // What `free` is called with.
    void *owner;
    // Frees the list, but no tensor in it; null if there is nothing to free.
    void (*free)(void *owner);
} ef_List_NamedTensor;

// A loss: the sum of its terms, and numbers that are only recorded.
typedef struct ef_Loss {
    // The terms.
    struct ef_List_LossTerm terms;
    // Numbers that are recorded, one each.
    struct ef_List_NamedTensor metrics;
} ef_Loss;

// Borrowed elements.
typedef struct ef_Slice______Tensor {
    // First element; may be anything if `len` is 0.
    const ef_Tensor *const *ptr;
    // How many.
    size_t len;
} ef_Slice______Tensor;

// Borrowed elements.
typedef struct ef_Slice_f64 {
    // First element; may be anything if `len` is 0.
    const double *ptr;
    // How many.
    size_t len;
} ef_Slice_f64;

// The integers from `start` up to, but not including, `end`.
typedef struct ef_Range {
    // The first.
    int64_t start;
    // One past the last.
    int64_t end;
} ef_Range;

// A recurrence whose units do not see each other: the next elements of a unit depend on the state before through that
// unit's elements alone, and the rest of the state before is not looked at.
typedef struct ef_Recurrence {
    // Where in a state the units are: the first part of each unit, then the second part of each, and so on.
    struct ef_Range elements;
    // Elements of a unit; 0: there is no such recurrence.
    int64_t parts;
    // Which unit each element of a parameter feeds, for parameters whose elements feed one unit each, or none: the
    // parameter's name, and 64-bit integers whose shape broadcasts to the parameter's; -1: it feeds none.
    struct ef_List_NamedTensor units;
} ef_Recurrence;

// A row of a loss term that traces follow.
typedef struct ef_TracedRow {
    // The term's value.
    float value;
    // The error: what the row adds to the loss is −error · value.
    float error;
    // What becomes of the row's trace in this step: 1: it goes on, 0: it begins anew, −1: it rests.
    int32_t step;
} ef_TracedRow;

// Elements that the receiver takes over. What they point to without owning it (names) lives until `free`.
typedef struct ef_List_TracedRow {
    // First element; may be anything if `len` is 0.
    struct ef_TracedRow *ptr;
    // How many.
    size_t len;
    // What `free` is called with.
    void *owner;
    // Frees the list, but no tensor in it; null if there is nothing to free.
    void (*free)(void *owner);
} ef_List_TracedRow;

// Elements that the receiver takes over. What they point to without owning it (names) lives until `free`.
typedef struct ef_List_____Tensor {
    // First element; may be anything if `len` is 0.
    ef_Tensor **ptr;
    // How many.
    size_t len;
    // What `free` is called with.
    void *owner;
    // Frees the list, but no tensor in it; null if there is nothing to free.
    void (*free)(void *owner);
} ef_List_____Tensor;

// A loss term that traces follow, with its gradients: nothing of it has a graph.
typedef struct ef_TracedTerm {
    // Its name.
    struct ef_Str name;
    // One a row.
    struct ef_List_TracedRow rows;
    // For each row in turn, the gradient of its value by each of the parameters that `traced_parameters` names; null: none.
    // One tensor a row, with one dim, may stand for those of several parameters: the elements of all, one parameter after
    // another, each as it lies in memory. Handed over.
    struct ef_List_____Tensor gradients;
} ef_TracedTerm;

// Elements that the receiver takes over. What they point to without owning it (names) lives until `free`.
typedef struct ef_List_TracedTerm {
    // First element; may be anything if `len` is 0.
    struct ef_TracedTerm *ptr;
    // How many.
    size_t len;
    // What `free` is called with.
    void *owner;
    // Frees the list, but no tensor in it; null if there is nothing to free.
    void (*free)(void *owner);
} ef_List_TracedTerm;

// A number that is recorded.
typedef struct ef_NamedNumber {
    // Its name.
    struct ef_Str name;
    // Its value.
    double number;
} ef_NamedNumber;

// Elements that the receiver takes over. What they point to without owning it (names) lives until `free`.
typedef struct ef_List_NamedNumber {
    // First element; may be anything if `len` is 0.
    struct ef_NamedNumber *ptr;
    // How many.
    size_t len;
    // What `free` is called with.
    void *owner;
    // Frees the list, but no tensor in it; null if there is nothing to free.
    void (*free)(void *owner);
} ef_List_NamedNumber;

// A loss some of whose terms come with the gradients that traces follow.
typedef struct ef_TracedLoss {
    // Whether there is such a loss. If not, all else is empty, and `loss` is what there is.
    bool known;
    // Terms with their gradients.
    struct ef_List_TracedTerm traced;
    // All other terms, and numbers that are only recorded.
    struct ef_Loss others;
    // Further numbers that are only recorded.
    struct ef_List_NamedNumber numbers;
} ef_TracedLoss;

// Elements that the receiver takes over. What they point to without owning it (names) lives until `free`.
typedef struct ef_List_Str {
    // First element; may be anything if `len` is 0.
    struct ef_Str *ptr;
    // How many.
    size_t len;
    // What `free` is called with.
    void *owner;
    // Frees the list, but no tensor in it; null if there is nothing to free.
    void (*free)(void *owner);
} ef_List_Str;

// Functions of the agent, as a trainer sees it during a step. A parameter group is all parameters whose name is the
// group's, or begins with it and a dot: the cell's, the goal's or a part of it, those of a network; empty: all.
typedef struct ef_AgentVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Frees an object that was returned.
    void (*destroy)(void *this_);
    // The next states of the input `x`, by way of goal, cell and layers.
    ef_Status (*transition)(void *this_, const ef_Tensor *x, ef_Tensor **out, struct ef_Error *err);
    // The same by the slow copy of the cell, without gradient.
    ef_Status (*slow_transition)(void *this_, const ef_Tensor *x, ef_Tensor **out, struct ef_Error *err);
    // The goal's loss; the host records it.
    ef_Status (*loss)(void *this_, const struct ef_LossInput *input, struct ef_Loss *out, struct ef_Error *err);
    // The output of a network.
    ef_Status (*network)(void *this_,
                         struct ef_Str name,
                         const ef_Tensor *x,
                         ef_Tensor **out,
                         struct ef_Error *err);
    // Shared handles of a group's trained parameters.
    ef_Status (*parameters)(void *this_,
                            struct ef_Str group,
                            struct ef_List_NamedTensor *out,
                            struct ef_Error *err);
    // Lets the optimizer use the gradients gathered in a group's parameters, and clears them.
    ef_Status (*update)(void *this_, struct ef_Str group, void *out, struct ef_Error *err);
    // As `update`, by these gradients in the order of `parameters` (null: none), with moments that are kept under
    // `name`. What is gathered in the parameters stays.
    ef_Status (*descend)(void *this_,
                         struct ef_Str name,
                         struct ef_Str group,
                         struct ef_Slice______Tensor gradients,
                         void *out,
                         struct ef_Error *err);
    // Clears the gradients gathered in a group's parameters.
    ef_Status (*clear_gradients)(void *this_, struct ef_Str group, void *out, struct ef_Error *err);
    // A seed for random numbers of this step, from the experiment's seed, the step and `purpose`.
    ef_Status (*seed)(void *this_, struct ef_Str purpose, uint64_t *out, struct ef_Error *err);
    // The number of the current step, from 0.
    ef_Status (*step)(void *this_, uint64_t *out, struct ef_Error *err);
    // How many elements at the end of a state are the cell's own memory.
    ef_Status (*memory)(void *this_, int64_t *out, struct ef_Error *err);
    // As `descend`, by eligibility traces of the loss term `name`, so that an optimizer can choose the size of a step by
    // them: with `n` parameters in the group, `traces` and `gradients` are `n` a row in turn, or one that stands for all
    // as in `TracedTerm`, and `errors` one a row. `decay` is what is left of a trace a step later.
    ef_Status (*follow)(void *this_,
                        struct ef_Str name,
                        struct ef_Str group,
                        double decay,
                        struct ef_Slice_f64 errors,
                        struct ef_Slice______Tensor traces,
                        struct ef_Slice______Tensor gradients,
                        void *out,
                        struct ef_Error *err);
    // How the cell's state recurs, if it does so unit by unit, with the full names of parameters.
    ef_Status (*recurrence)(void *this_, struct ef_Recurrence *out, struct ef_Error *err);
    // As `loss`, with the gradients of the terms that have an error, from a goal that has such a loss.
    ef_Status (*traced_loss)(void *this_,
                             const struct ef_LossInput *input,
                             struct ef_TracedLoss *out,
                             struct ef_Error *err);
    // Which parameters the gradients of the term of this name are of, in their order, by their full names.
    ef_Status (*traced_parameters)(void *this_,
                                   struct ef_Str term,
                                   struct ef_List_Str *out,
                                   struct ef_Error *err);
    // An error that says why, if `replayed_loss` is not to be asked for.
    ef_Status (*may_replay)(void *this_, void *out, struct ef_Error *err);
    // As `loss`, of a remembered moment: the host does not record it, and a stream may come more than once.
    ef_Status (*replayed_loss)(void *this_,
                               const struct ef_LossInput *input,
                               struct ef_Loss *out,
                               struct ef_Error *err);
} ef_AgentVTable;

// What came from the environment for one step.
typedef struct ef_Batch {
    // Size of this struct, in bytes.
    size_t size;
    // What the active streams observed.
    const struct ef_Moment *moment;
    // Streams that began since the last step, active or not yet.
    struct ef_Slice_u64 started;
    // Streams that ended since the last step, before those in `started` began.
    struct ef_Slice_u64 ended;
} ef_Batch;

// How many features go in and come out.
typedef struct ef_Size {
    // Features in, at least 1.
    int64_t ins;
    // Features out, at least 1.
    int64_t outs;
} ef_Size;

// Functions of a parameter store. Names are joined by dots, such as `z.layer.0.weight.1`.
typedef struct ef_ParamStoreVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Frees an object that was returned.
    void (*destroy)(void *this_);
    // Takes the first value of a parameter (`trainable`, 32-bit floats) or of a buffer (any dtype), moves it to the
    // experiment's device and returns a handle that shares its storage and gradient. `init` is on the CPU.
    ef_Status (*add)(void *this_,
                     struct ef_Str name,
                     ef_Tensor *init,
                     bool trainable,
                     ef_Tensor **out,
                     struct ef_Error *err);
    // A seed for random numbers, from the experiment's seed, the store's place and `name`.
    ef_Status (*seed)(void *this_, struct ef_Str name, uint64_t *out, struct ef_Error *err);
    // Shared handles of the tensors whose names begin with `prefix`, in the order of their making.
    ef_Status (*list)(void *this_, struct ef_Str prefix, struct ef_List_NamedTensor *out, struct ef_Error *err);
    // The device of the experiment: −1 for the CPU, else the number of the CUDA device.
    ef_Status (*device)(void *this_, int32_t *out, struct ef_Error *err);
    // Whether what is made is only counted, and never computes a step: then a first value may be a stand-in, a tensor
    // of the same shape whose elements all lie at one place in memory.
    ef_Status (*only_counts)(void *this_, bool *out, struct ef_Error *err);
} ef_ParamStoreVTable;

// An object: whoever made it knows what `this_` points to.
typedef struct ef_Object_ParamStoreVTable {
    // Passed as the first argument to each function; null: no object.
    void *this_;
    // The functions.
    const struct ef_ParamStoreVTable *vtable;
} ef_Object_ParamStoreVTable;

// What a forward pass returns.
typedef struct ef_VjpForward {
    // All outputs, (batch, outs).
    ef_Tensor *output;
    // What `backward` needs beside the parameters.
    struct ef_List_____Tensor saved;
} ef_VjpForward;

// Borrowed elements.
typedef struct ef_Slice_bool {
    // First element; may be anything if `len` is 0.
    const bool *ptr;
    // How many.
    size_t len;
} ef_Slice_bool;

// The gradients that a backward pass starts from.
//
// They come along `path_count` gradient paths: several gradients of the same outputs, which are kept apart. Row `r`
// of `grad` belongs to row `r % batch` of the forward pass, and to path `r / batch`.
typedef struct ef_GradOutput {
    // Size of this struct, in bytes.
    size_t size;
    // (path_count · batch, outs)
    const ef_Tensor *grad;
    // For each path whether it reaches the parameters; at least one path.
    struct ef_Slice_bool needs_param_grad;
    // How many paths, from the first on, reach the input.
    size_t input_paths;
} ef_GradOutput;

// What a backward pass returns.
typedef struct ef_GradInput {
    // The gradient of the input, (input_paths · batch, ins); null if no path reaches it.
    ef_Tensor *input;
    // That of each trained parameter, summed over the paths that reach it, in the order in which they were made;
    // null for one without.
    struct ef_List_____Tensor params;
} ef_GradInput;

// A forward and a backward pass of a layer's or a cell's own. Grad mode is off during both.
typedef struct ef_VjpVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Frees the object.
    void (*destroy)(void *this_);
    // Of `x` (batch, ins): all outputs, and what `backward` needs.
    ef_Status (*forward)(void *this_, const ef_Tensor *x, struct ef_VjpForward *out, struct ef_Error *err);
    // The gradients, given what `forward` saved, in its order, and those of the outputs.
    ef_Status (*backward)(void *this_,
                          struct ef_Slice______Tensor saved,
                          const struct ef_GradOutput *grad,
                          struct ef_GradInput *out,
                          struct ef_Error *err);
} ef_VjpVTable;

// An object: whoever made it knows what `this_` points to.
typedef struct ef_Object_VjpVTable {
    // Passed as the first argument to each function; null: no object.
    void *this_;
    // The functions.
    const struct ef_VjpVTable *vtable;
} ef_Object_VjpVTable;

// Borrowed elements.
typedef struct ef_Slice_i64 {
    // First element; may be anything if `len` is 0.
    const int64_t *ptr;
    // How many.
    size_t len;
} ef_Slice_i64;

// Which dims of a weight run over a layer's inputs: the others run over outputs.
typedef struct ef_WeightLayout {
    // The parameter's name, as the layer added it.
    struct ef_Str name;
    // The dims.
    struct ef_Slice_i64 input_dims;
} ef_WeightLayout;

// Elements that the receiver takes over. What they point to without owning it (names) lives until `free`.
typedef struct ef_List_WeightLayout {
    // First element; may be anything if `len` is 0.
    struct ef_WeightLayout *ptr;
    // How many.
    size_t len;
    // What `free` is called with.
    void *owner;
    // Frees the list, but no tensor in it; null if there is nothing to free.
    void (*free)(void *owner);
} ef_List_WeightLayout;

// One connection of a stage.
typedef struct ef_Edge {
    // The node that it comes from, counted from 0.
    int64_t from;
    // The node that it goes to.
    int64_t to;
    // Which weight of the stage it is multiplied with: edges of the same number share one. -1: none, the value is passed
    // on as it is.
    int64_t weight;
} ef_Edge;

// Borrowed elements.
typedef struct ef_Slice_Edge {
    // First element; may be anything if `len` is 0.
    const struct ef_Edge *ptr;
    // How many.
    size_t len;
} ef_Slice_Edge;

// How the nodes of one column are connected to those of the next.
typedef struct ef_Stage {
    // Nodes before and after.
    struct ef_Size nodes;
    // The connections.
    struct ef_Slice_Edge edges;
} ef_Stage;

// Elements that the receiver takes over. What they point to without owning it (names) lives until `free`.
typedef struct ef_List_Stage {
    // First element; may be anything if `len` is 0.
    struct ef_Stage *ptr;
    // How many.
    size_t len;
    // What `free` is called with.
    void *owner;
    // Frees the list, but no tensor in it; null if there is nothing to free.
    void (*free)(void *owner);
} ef_List_Stage;

// Functions of a layer.
typedef struct ef_LayerVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Frees the layer.
    void (*destroy)(void *this_);
    // Of `x` (batch, ins): the outputs `outs`, (batch, outs.end − outs.start).
    ef_Status (*forward)(void *this_,
                         const ef_Tensor *x,
                         struct ef_Range outs,
                         ef_Tensor **out,
                         struct ef_Error *err);
    // Its custom VJP, a null object if it has none. Asked for once. The layer outlives it.
    ef_Status (*vjp)(void *this_, struct ef_Object_VjpVTable *out, struct ef_Error *err);
    // Multiply-accumulates of a forward pass over one row of `x`, all outputs; 0: unknown.
    ef_Status (*multiply_accumulates)(void *this_, uint64_t *out, struct ef_Error *err);
    // Which dims of its weights run over inputs, for initialisers.
    ef_Status (*weights)(void *this_, struct ef_List_WeightLayout *out, struct ef_Error *err);
    // Called after each update of the layer's parameters, in the given step: a layer may rewire itself.
    ef_Status (*updated)(void *this_, uint64_t step, void *out, struct ef_Error *err);
    // How inputs reach outputs, for drawings: stages, the first of which begins with the layer's inputs, the last of
    // which ends with its outputs, and each of which begins with as many nodes as the one before ends with. An empty
    // list: the layer does not tell.
    ef_Status (*connections)(void *this_, struct ef_List_Stage *out, struct ef_Error *err);
    // Which output each element of a parameter feeds, for parameters whose elements feed one output each: the parameter's
    // name, as the layer added it, and 64-bit integers whose shape broadcasts to the parameter's; -1: it feeds none.
    ef_Status (*units)(void *this_, struct ef_List_NamedTensor *out, struct ef_Error *err);
    // If it is a matrix and nothing else, `y = x · weightᵀ + bias`: shared handles of its weight, (outs, ins), and of its
    // bias, (outs), if it has one; else none.
    ef_Status (*matrix)(void *this_, struct ef_List_____Tensor *out, struct ef_Error *err);
} ef_LayerVTable;

// An object: whoever made it knows what `this_` points to.
typedef struct ef_Object_LayerVTable {
    // Passed as the first argument to each function; null: no object.
    void *this_;
    // The functions.
    const struct ef_LayerVTable *vtable;
} ef_Object_LayerVTable;

// Functions of what makes layers of the experiment's own kind.
typedef struct ef_LayerFactoryVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Frees an object that was returned.
    void (*destroy)(void *this_);
    // Makes a layer `ins → outs` with its parameters in `params`.
    ef_Status (*make)(void *this_,
                      struct ef_Size size,
                      struct ef_Object_ParamStoreVTable params,
                      struct ef_Object_LayerVTable *out,
                      struct ef_Error *err);
} ef_LayerFactoryVTable;

// An object: whoever made it knows what `this_` points to.
typedef struct ef_Object_LayerFactoryVTable {
    // Passed as the first argument to each function; null: no object.
    void *this_;
    // The functions.
    const struct ef_LayerFactoryVTable *vtable;
} ef_Object_LayerFactoryVTable;

// What a cell is made from.
typedef struct ef_CellSetup {
    // Size of this struct, in bytes.
    size_t size;
    // Features in, which is what the trainer passes, and out, which is the size of a state.
    struct ef_Size features;
    // Where in its input the observation stands; empty: nowhere, or mixed with the state.
    struct ef_Range observation;
    // Where in its input the action that was done stands; empty: nowhere.
    struct ef_Range action;
    // Makes layers of the experiment's kind.
    struct ef_Object_LayerFactoryVTable layers;
    // Where its parameters are kept.
    struct ef_Object_ParamStoreVTable params;
} ef_CellSetup;

// Functions of a cell.
typedef struct ef_CellVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Frees the cell.
    void (*destroy)(void *this_);
    // Of `x` (batch, ins): the elements `outs` of the next state, (batch, outs.end − outs.start).
    ef_Status (*forward)(void *this_,
                         const ef_Tensor *x,
                         struct ef_Range outs,
                         ef_Tensor **out,
                         struct ef_Error *err);
    // Its custom VJP, a null object if it has none. Asked for once. The cell outlives it.
    ef_Status (*vjp)(void *this_, struct ef_Object_VjpVTable *out, struct ef_Error *err);
    // How many elements at the end of a state are the cell's own memory: carried from step to step without gradient
    // and without a limit of their range. Asked for once.
    ef_Status (*memory)(void *this_, int64_t *out, struct ef_Error *err);
    // How its state recurs, if it does so unit by unit. Asked for once.
    ef_Status (*recurrence)(void *this_, struct ef_Recurrence *out, struct ef_Error *err);
} ef_CellVTable;

// What an environment is made from.
typedef struct ef_EnvironmentSetup {
    // Size of this struct, in bytes.
    size_t size;
    // A seed for its random numbers, from the experiment's seed and the environment's name.
    uint64_t seed;
    // The run's directory, where the environment may keep files in a folder of its own name; empty: none.
    struct ef_Str run_directory;
} ef_EnvironmentSetup;

// What one stream observed at one moment.
typedef struct ef_Frame {
    // Size of this struct, in bytes.
    size_t size;
    // The stream.
    uint64_t stream;
    // Values in −1…1; NaN: missing.
    struct ef_Slice_f32 observation;
    // What actions the stream wants in response.
    struct ef_Slice_ActionGroup actions;
    // What is to be maximised; NaN: absent.
    float reward;
    // Where it stands in an episode. A last frame carries the episode's real last observation; the action that
    // responds to it is ignored; the stream's next frame is a first one.
    ef_StepType step_type;
} ef_Frame;

// Functions of what receives frames.
typedef struct ef_FramesVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Frees an object that was returned.
    void (*destroy)(void *this_);
    // A stream begins; `frame` does the same for a stream that is not known yet.
    ef_Status (*begin)(void *this_, uint64_t stream, void *out, struct ef_Error *err);
    // A frame. At most one a stream in one `poll`.
    ef_Status (*frame)(void *this_, const struct ef_Frame *frame, void *out, struct ef_Error *err);
    // A stream has ended; its number may come back as a new one.
    ef_Status (*end)(void *this_, uint64_t stream, void *out, struct ef_Error *err);
    // The environment is over: no frame will come any more.
    ef_Status (*close)(void *this_, void *out, struct ef_Error *err);
} ef_FramesVTable;

// An object: whoever made it knows what `this_` points to.
typedef struct ef_Object_FramesVTable {
    // Passed as the first argument to each function; null: no object.
    void *this_;
    // The functions.
    const struct ef_FramesVTable *vtable;
} ef_Object_FramesVTable;

// Elements that the receiver takes over. What they point to without owning it (names) lives until `free`.
typedef struct ef_List_ActionGroup {
    // First element; may be anything if `len` is 0.
    struct ef_ActionGroup *ptr;
    // How many.
    size_t len;
    // What `free` is called with.
    void *owner;
    // Frees the list, but no tensor in it; null if there is nothing to free.
    void (*free)(void *owner);
} ef_List_ActionGroup;

// What all streams of an environment observe and want, if it is known beforehand.
typedef struct ef_Spaces {
    // Size of this struct, in bytes.
    size_t size;
    // Whether it is known: if not, nothing else here is to be read.
    bool known;
    // Elements of an observation.
    size_t observation;
    // What actions are wanted in response to each frame.
    struct ef_List_ActionGroup actions;
    // The smallest reward.
    float reward_min;
    // The largest reward.
    float reward_max;
} ef_Spaces;

// Elements that the receiver takes over. What they point to without owning it (names) lives until `free`.
typedef struct ef_List_u8 {
    // First element; may be anything if `len` is 0.
    uint8_t *ptr;
    // How many.
    size_t len;
    // What `free` is called with.
    void *owner;
    // Frees the list, but no tensor in it; null if there is nothing to free.
    void (*free)(void *owner);
} ef_List_u8;

// A picture: red, green and blue of each pixel, row by row from the top left; no pixels: no picture.
typedef struct ef_Picture {
    // Pixels in a row.
    size_t width;
    // Rows.
    size_t height;
    // `3 · width · height` bytes.
    struct ef_List_u8 rgb;
} ef_Picture;

// Borrowed elements.
typedef struct ef_Slice_u8 {
    // First element; may be anything if `len` is 0.
    const uint8_t *ptr;
    // How many.
    size_t len;
} ef_Slice_u8;

// What an element of an observation is for.
typedef uint8_t ef_Role;
// The agent observes it, and predicts it.
#define ef_Role_BOTH 0
// The agent observes it; what it predicts of it is compared with nothing.
#define ef_Role_SEEN 1
// The agent predicts it and never observes it.
#define ef_Role_PREDICTED 2

// Elements that the receiver takes over. What they point to without owning it (names) lives until `free`.
typedef struct ef_List_Role {
    // First element; may be anything if `len` is 0.
    ef_Role *ptr;
    // How many.
    size_t len;
    // What `free` is called with.
    void *owner;
    // Frees the list, but no tensor in it; null if there is nothing to free.
    void (*free)(void *owner);
} ef_List_Role;

// How predictions of an environment's observations are compared with what came.
typedef struct ef_Comparison {
    // Size of this struct, in bytes.
    size_t size;
    // What each element of an observation is for; empty: all are observed and predicted.
    struct ef_List_Role roles;
    // Whether linear extrapolation is a baseline.
    bool linear;
    // Frames after which the same comes again, about, which makes the observation of so many frames ago a baseline; 0:
    // there is no such number.
    uint64_t period;
} ef_Comparison;

// Functions of an environment.
typedef struct ef_EnvironmentVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Closes the environment, with all that it has started.
    void (*destroy)(void *this_);
    // Sends what has come, waiting for it at most `timeout` nanoseconds.
    ef_Status (*poll)(void *this_,
                      uint64_t timeout,
                      struct ef_Object_FramesVTable frames,
                      void *out,
                      struct ef_Error *err);
    // Responds to the last frame of a stream: what the agent predicts of the next observation, and its actions, laid
    // out as the frame's groups.
    ef_Status (*act)(void *this_,
                     uint64_t stream,
                     struct ef_Slice_f32 prediction,
                     struct ef_Slice_f32 action,
                     void *out,
                     struct ef_Error *err);
    // What all streams observe and want. Asked for before the agent is made.
    ef_Status (*spaces)(void *this_, struct ef_Spaces *out, struct ef_Error *err);
    // Draws an observation of a stream, or a prediction of one.
    ef_Status (*picture)(void *this_,
                         uint64_t stream,
                         struct ef_Slice_f32 observation,
                         struct ef_Picture *out,
                         struct ef_Error *err);
    // A `ef_Restores`.
    ef_Status (*restores)(void *this_, uint32_t *out, struct ef_Error *err);
    // What `restore` needs.
    ef_Status (*save)(void *this_, struct ef_List_u8 *out, struct ef_Error *err);
    // Takes up what `save` returned.
    ef_Status (*restore)(void *this_, struct ef_Slice_u8 saved, void *out, struct ef_Error *err);
    // How its predictions are compared. Asked for once, before the agent is made.
    ef_Status (*comparison)(void *this_, struct ef_Comparison *out, struct ef_Error *err);
} ef_EnvironmentVTable;

// What a goal is made from.
typedef struct ef_GoalSetup {
    // Size of this struct, in bytes.
    size_t size;
    // Elements of a state.
    int64_t state_size;
    // What the environment observes and wants, if it is known.
    const struct ef_Spaces *spaces;
    // Makes layers of the experiment's kind.
    struct ef_Object_LayerFactoryVTable layers;
    // Where its parameters are kept.
    struct ef_Object_ParamStoreVTable params;
} ef_GoalSetup;

// One way for the gradient through an evaluation whose value all paths share.
typedef struct ef_GradPath {
    // The outputs wanted.
    struct ef_Range outs;
    // The input is cut into chunks of this many elements; 0: one chunk.
    int64_t chunk;
    // Which chunks let gradient through: every chunk whose number is `i` modulo `period` if bit `i` is set.
    uint64_t open_chunks;
    // See `open_chunks`; at least 1, at most 64.
    uint32_t period;
    // Whether the parameters get no gradient.
    bool frozen;
} ef_GradPath;

// Borrowed elements.
typedef struct ef_Slice_GradPath {
    // First element; may be anything if `len` is 0.
    const struct ef_GradPath *ptr;
    // How many.
    size_t len;
} ef_Slice_GradPath;

// Functions of the experiment's cell, as a goal sees it.
typedef struct ef_TransitionVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Frees an object that was returned.
    void (*destroy)(void *this_);
    // Evaluates the cell on `x` (batch, ins) once for all paths; returns one tensor a path,
    // (batch, outs.end − outs.start).
    ef_Status (*evaluate)(void *this_,
                          const ef_Tensor *x,
                          struct ef_Slice_GradPath paths,
                          struct ef_List_____Tensor *out,
                          struct ef_Error *err);
    // The size of the state.
    ef_Status (*outs)(void *this_, int64_t *out, struct ef_Error *err);
} ef_TransitionVTable;

// An object: whoever made it knows what `this_` points to.
typedef struct ef_Object_TransitionVTable {
    // Passed as the first argument to each function; null: no object.
    void *this_;
    // The functions.
    const struct ef_TransitionVTable *vtable;
} ef_Object_TransitionVTable;

// Functions of a goal.
typedef struct ef_GoalVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Frees the goal.
    void (*destroy)(void *this_);
    // The terms of the loss.
    ef_Status (*loss)(void *this_, const struct ef_LossInput *input, struct ef_Loss *out, struct ef_Error *err);
    // How many elements at the front of the state the goal keeps for itself. The first of them, if any, is the
    // reward's; observations follow. Asked for once.
    ef_Status (*reserved)(void *this_, int64_t *out, struct ef_Error *err);
    // Whether the front of the state predicts the observation. Asked for once.
    ef_Status (*predicts)(void *this_, bool *out, struct ef_Error *err);
    // The next state, (rows, state size), of the cell's input `x`, (rows, input size).
    ef_Status (*transition)(void *this_,
                            struct ef_Object_TransitionVTable cell,
                            const ef_Tensor *x,
                            ef_Tensor **out,
                            struct ef_Error *err);
    // Actions, (rows, width of the groups), from what came and the states after it, (rows, state size).
    ef_Status (*act)(void *this_,
                     const struct ef_Moment *moment,
                     const ef_Tensor *state,
                     const struct ef_ActionRequest *request,
                     ef_Tensor **out,
                     struct ef_Error *err);
    // What is added to the reward, (rows); null: nothing.
    ef_Status (*bonus)(void *this_, const struct ef_Moment *moment, ef_Tensor **out, struct ef_Error *err);
    // What `restore` needs, parameters and buffers in the store excepted.
    ef_Status (*save)(void *this_, struct ef_List_NamedTensor *out, struct ef_Error *err);
    // Takes up what `save` returned. The tensors move to the receiver.
    ef_Status (*restore)(void *this_, struct ef_List_NamedTensor saved, void *out, struct ef_Error *err);
    // These streams have ended, before those of the next `loss` and `act` were active.
    ef_Status (*ended)(void *this_, struct ef_Slice_u64 streams, void *out, struct ef_Error *err);
    // Whether the error of the term of this name is a weight of its value, such as an advantage, and not how far the value
    // is from its target.
    ef_Status (*weighs)(void *this_, struct ef_Str term, bool *out, struct ef_Error *err);
    // Whether it is a bonus, to be chosen under `[bonus]` beside another goal: then only `loss`, `bonus`, `save`, `restore`
    // and `ended` are called. Asked for once.
    ef_Status (*is_bonus)(void *this_, bool *out, struct ef_Error *err);
    // The same as `loss`, for a trainer that follows traces: the gradients of terms with an error come with it.
    ef_Status (*traced_loss)(void *this_,
                             const struct ef_LossInput *input,
                             struct ef_TracedLoss *out,
                             struct ef_Error *err);
    // Which of the goal's parameters the gradients of the term of this name are of, in their order, by the names that they
    // were added under.
    ef_Status (*traced_parameters)(void *this_,
                                   struct ef_Str term,
                                   struct ef_List_Str *out,
                                   struct ef_Error *err);
    // Whether its `loss` depends on its input and the store alone, so that it may be asked for at a remembered moment as well, of
    // streams that come more than once.
    ef_Status (*replayable)(void *this_, bool *out, struct ef_Error *err);
} ef_GoalVTable;

// Borrowed elements.
typedef struct ef_Slice_Str {
    // First element; may be anything if `len` is 0.
    const struct ef_Str *ptr;
    // How many.
    size_t len;
} ef_Slice_Str;

// Services of the host. Lives as long as the process; may be called from any thread.
typedef struct ef_HostApi {
    // Size of the host's table, in bytes.
    size_t size;
    // The `ef_FEATURES` that the host has.
    struct ef_Slice_Str features;
    // Whether an event of this level (1 error, 2 warning, 3 info, 4 debug, 5 trace) would be recorded.
    ef_Status (*log_enabled)(uint32_t level, struct ef_Str target, bool *out, struct ef_Error *err);
    // Takes one event.
    ef_Status (*log)(uint32_t level,
                     struct ef_Str target,
                     struct ef_Str file,
                     uint32_t line,
                     struct ef_Str message,
                     void *out,
                     struct ef_Error *err);
    // Records `value` under `name` for this step; several values between two recordings are averaged.
    ef_Status (*metric)(struct ef_Str name, double value, void *out, struct ef_Error *err);
    // A seed for random numbers of the current step, from the experiment's seed, the step and `purpose`.
    ef_Status (*step_seed)(struct ef_Str purpose, uint64_t *out, struct ef_Error *err);
    // As `metric`, but of several values between two recordings the last one counts. A host of before ends its table here.
    ef_Status (*latest)(struct ef_Str name, double value, void *out, struct ef_Error *err);
    // Calls `task` once with each number in `0..tasks`, on the threads that the host has for kernels, this one among them, and
    // returns when all calls have returned. `task` must not unwind. Within a call of `task`, all runs on the thread itself.
    ef_Status (*parallel)(size_t tasks,
                          void (*task)(const void *argument, size_t i),
                          const void *argument,
                          void *out,
                          struct ef_Error *err);
    // How many threads these are now. A host of before ends its table before `parallel`.
    ef_Status (*threads)(size_t *out, struct ef_Error *err);
} ef_HostApi;

// How the input that a trainer passes to the cell is laid out.
typedef struct ef_InputLayout {
    // Elements in all; 0: the trainer uses no cell, and none is made.
    int64_t width;
    // Where the observation stands; empty: nowhere, or mixed with the state.
    struct ef_Range observation;
    // Where the action that was done stands; empty: nowhere.
    struct ef_Range action;
} ef_InputLayout;

// What a layer is made from.
typedef struct ef_LayerSetup {
    // Size of this struct, in bytes.
    size_t size;
    // Features in and out.
    struct ef_Size features;
    // Where its parameters are kept.
    struct ef_Object_ParamStoreVTable params;
} ef_LayerSetup;

// Says what a library is, in plain bytes without pointers: the host reads it from the FILE and decides on it
// before the library is loaded. Texts are UTF-8, ended by a zero.
typedef struct ef_Manifest {
    // `ef_MAGIC`.
    uint8_t magic[8];
    // `ef_ABI_VERSION` of the maker.
    uint32_t abi_version;
    // Size of the maker's `ef_Manifest`, in bytes.
    uint32_t size;
    // Version of the SDK that made it, or the author's own for a library made without it.
    uint8_t sdk_version[16];
    // Version of libtorch that the library was compiled against, such as `2.13.0`; empty for one that uses none, as an
    // environment need not.
    uint8_t libtorch_version[16];
    // Target that it was compiled for, such as `x86_64-unknown-linux-gnu`.
    uint8_t target[48];
    // The `ef_FEATURES` that the library needs, one a line.
    uint8_t features[ef_FEATURES_LEN];
    // One line a plugin: `kind/name`, version and description, with tabs between them.
    uint8_t plugins[ef_PLUGINS_LEN];
} ef_Manifest;

// An object: whoever made it knows what `this_` points to.
typedef struct ef_Object_c_void {
    // Passed as the first argument to each function; null: no object.
    void *this_;
    // The functions.
    const void *vtable;
} ef_Object_c_void;

// What the options of an environment say of it before it is made.
typedef struct ef_Outline {
    // Size of this struct, in bytes.
    size_t size;
    // How many streams it has at once; 0: not known.
    uint64_t streams;
    // What its streams observe and want.
    struct ef_Spaces spaces;
} ef_Outline;

// One plugin of a library.
typedef struct ef_Entry {
    // Size of this struct, in bytes.
    size_t size;
    // A `ef_Kind`.
    uint32_t kind;
    // The name that a spec says, such as `ldl`.
    struct ef_Str name;
    // The plugin's version.
    struct ef_Str version;
    // What it is, in one line.
    struct ef_Str description;
    // Writes the JSON Schema of the plugin's options.
    ef_Status (*options_schema)(struct ef_List_u8 *out, struct ef_Error *err);
    // Reads options, given as a JSON object, and does nothing else. An error names the option that is wrong, or says
    // which contradict each other.
    ef_Status (*check_options)(struct ef_Str options, void *out, struct ef_Error *err);
    // Makes an object of the plugin's kind. `options` is a JSON object; `setup` points to the setup struct of the
    // kind, such as `ef_LayerSetup`; the object's table is the one of the kind, such as
    // `ef_LayerVTable`.
    ef_Status (*create)(struct ef_Str options,
                        const void *setup,
                        struct ef_Object_c_void *out,
                        struct ef_Error *err);
    // What the options of an environment say of it, without making one: nothing is started, and no file is changed.
    // Optional, as a function that is appended to a table.
    ef_Status (*outline)(struct ef_Str options, struct ef_Outline *out, struct ef_Error *err);
} ef_Entry;

// The static that a library exports as `ef_ENTRY_SYMBOL`.
typedef struct ef_Library {
    // Read from the file first.
    struct ef_Manifest manifest;
    // The library's plugins, as many as its manifest names. One begins `ef_Entry::size` bytes after the other, as the
    // library's maker knows it.
    const struct ef_Entry *entries;
    // How many.
    size_t entry_count;
    // Called once, before anything else of the library. `host` lives as long as the process.
    ef_Status (*init)(const struct ef_HostApi *host, void *out, struct ef_Error *err);
} ef_Library;

// An object: whoever made it knows what `this_` points to.
typedef struct ef_Object_AgentBuilderVTable {
    // Passed as the first argument to each function; null: no object.
    void *this_;
    // The functions.
    const struct ef_AgentBuilderVTable *vtable;
} ef_Object_AgentBuilderVTable;

// What a trainer is made from.
typedef struct ef_TrainerSetup {
    // Size of this struct, in bytes.
    size_t size;
    // Elements of a state.
    int64_t state_size;
    // How many elements at the front of the state the goal keeps for itself.
    int64_t reserved;
    // The device of the experiment: −1 for the CPU, else the number of the CUDA device.
    int32_t device;
    // What the environment observes and wants, if it is known.
    const struct ef_Spaces *spaces;
    // The agent that is being made.
    struct ef_Object_AgentBuilderVTable agent;
} ef_TrainerSetup;

// An object: whoever made it knows what `this_` points to.
typedef struct ef_Object_AgentVTable {
    // Passed as the first argument to each function; null: no object.
    void *this_;
    // The functions.
    const struct ef_AgentVTable *vtable;
} ef_Object_AgentVTable;

// Functions of a trainer.
typedef struct ef_TrainerVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Frees the trainer.
    void (*destroy)(void *this_);
    // How what it passes to the agent's transition is laid out. Asked for once.
    ef_Status (*input)(void *this_, struct ef_InputLayout *out, struct ef_Error *err);
    // One step; returns the new states of the active streams, (rows, state size).
    ef_Status (*step)(void *this_,
                      struct ef_Object_AgentVTable agent,
                      const struct ef_Batch *batch,
                      ef_Tensor **out,
                      struct ef_Error *err);
    // What `restore` needs.
    ef_Status (*save)(void *this_, struct ef_List_NamedTensor *out, struct ef_Error *err);
    // Takes up what `save` returned. The tensors move to the receiver.
    ef_Status (*restore)(void *this_, struct ef_List_NamedTensor saved, void *out, struct ef_Error *err);
    // Whether what `save` returns now loses nothing, as it does in the middle of an unroll.
    ef_Status (*saves_exactly)(void *this_, bool *out, struct ef_Error *err);
    // Steps whose graph is held at once, before a backward pass frees it; 0: not known.
    ef_Status (*unroll_length)(void *this_, uint64_t *out, struct ef_Error *err);
    // The agent is complete, and this is what the trainer will train: called once, before the first step. What does not
    // fit the trainer is refused here.
    ef_Status (*begin)(void *this_, struct ef_Object_AgentVTable agent, void *out, struct ef_Error *err);
} ef_TrainerVTable;

// The call succeeded.
#define ef_OK 0

// The call failed; `*err` says why.
#define ef_ERROR 1

// As `ef_ERROR`, and the callee panicked: its object may only be destroyed from now on.
#define ef_PANIC 2

// All kinds, in the order of their sections in a spec.
#define ef_Kind_ALL { ef_Kind_Environment, ef_Kind_Layer, ef_Kind_Cell, ef_Kind_Trainer, ef_Kind_Goal, }

#endif  /* EFFERENCE_H */

// The C boundary between the efference host and its plugins: `repr(C)` types and nothing else.
//
// Plugin authors in Rust use `efference-sdk`, which hides all of this. Authors in C or C++ include
// `include/efference.h`, which is made from this crate.
//
// # Rules
//
// * **Tensors** are pointers to libtorch's `at::Tensor`. A `const ef_Tensor *` argument is lent: valid for the
//   call alone, and not the callee's to free. A `ef_Tensor *` that is handed over (a result, or an argument
//   said to be given) belongs to whoever receives it.
// * **Strings** (`ef_Str`) are lent UTF-8 without a terminating zero. **Buffers** (`ef_Buf`) belong to the
//   receiver, who frees them with the function that they carry.
// * **Objects** are an opaque pointer and a table of functions. Whoever receives one with a `destroy` in its
//   table owns it; one without is lent for the call.
// * **Errors**: a function that can fail returns a `ef_Status`. Anything but `ef_OK` means that it has filled
//   `*err` and has written no result.
// * **Nothing unwinds** across the boundary. A panic or exception is caught by the side where it happens.
// * **Threads**: the host calls each object from one thread at a time, not always the same one.
// * **State of the process** (grad mode, default dtype, device and stream, working directory, signal
//   handlers) is left as it was found.
// * **Tables grow at the end** within one `ef_ABI_VERSION`; `size` says how much of a table its maker knew.
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

// The first bytes of every `ef_Stamp`.
#define ef_MAGIC {'E', 'F', 'F', 'E', 'R', 'E', 'N', 'C'}

// What stands between the messages of an error's chain.
#define ef_CHAIN_SEPARATOR '\x1f'

// The number of this boundary. It changes when an old plugin could no longer be called safely.
#define ef_ABI_VERSION 1

// Room for the list of plugins in a `ef_Stamp`, in bytes, with the terminating zero.
#define ef_PLUGINS_LEN 2048

// What a plugin is for.
enum ef_Kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Gives observations and takes actions; its table is an `EnvironmentVTable`.
    ef_Kind_Environment = 1,
    // A linear map; its table is a `LayerVTable`.
    ef_Kind_Layer = 2,
    // State and input to next state; its table is a `CellVTable`.
    ef_Kind_Cell = 3,
    // How gradients travel through time; its table is a `TrainerVTable`.
    ef_Kind_Trainer = 4,
    // What is minimised and maximised; its table is a `GoalVTable`.
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

// Bytes that belong to the receiver.
typedef struct ef_Buf {
    // First byte, or null if there are none.
    uint8_t *ptr;
    // Length in bytes.
    size_t len;
    // The maker's own book-keeping, handed back to `free`.
    size_t capacity;
    // Frees the bytes; null if there are none.
    void (*free)(uint8_t *ptr, size_t len, size_t capacity);
} ef_Buf;

// What a prediction is compared with.
typedef struct ef_LossInput {
    // The states before this step's observation, (live streams, state size); carries gradient.
    const ef_Tensor *state;
    // The same with what was observed written over its front, clamped to ±1; carries no gradient.
    const ef_Tensor *got;
    // What was observed, (live streams, length), the reserved numbers first; NaN is a hole.
    const ef_Tensor *observation;
    // For each live stream whether an episode ended with this observation.
    const bool *episode_ends;
    // How many live streams.
    size_t stream_count;
} ef_LossInput;

// A lent piece of UTF-8 text, without a terminating zero.
typedef struct ef_Str {
    // First byte; may be anything if `len` is 0.
    const uint8_t *ptr;
    // Length in bytes.
    size_t len;
} ef_Str;

// Receives the terms of a loss and what else is to be recorded; each tensor is given and holds one number.
typedef struct ef_LossSink {
    // Passed back to each function.
    void *ctx;
    // A term: the loss is the sum of all of them.
    void (*term)(void *ctx, struct ef_Str name, ef_Tensor *value);
    // A number that is recorded and nothing else.
    void (*metric)(void *ctx, struct ef_Str name, ef_Tensor *value);
} ef_LossSink;

// Receives one named tensor after another; `tensor` is given.
typedef struct ef_TensorSink {
    // Passed back to `put`.
    void *ctx;
    // Takes `tensor` under `name`.
    void (*put)(void *ctx, struct ef_Str name, ef_Tensor *tensor);
} ef_TensorSink;

// Functions of an `ef_Agent`. A part is `cell`, `goal` or the name of a network.
typedef struct ef_AgentVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // The next state of the input `x`, by way of goal, cell and layers.
    ef_Status (*transition)(void *ctx, const ef_Tensor *x, ef_Tensor **out, struct ef_Buf *err);
    // The goal's loss, term by term; the host keeps a copy to record.
    ef_Status (*loss)(void *ctx,
                      const struct ef_LossInput *input,
                      const struct ef_LossSink *sink,
                      struct ef_Buf *err);
    // The output of a network.
    ef_Status (*network)(void *ctx,
                         struct ef_Str name,
                         const ef_Tensor *x,
                         ef_Tensor **out,
                         struct ef_Buf *err);
    // Puts a shared handle of every trainable parameter of a part; an empty name: of all parts.
    ef_Status (*parameters)(void *ctx,
                            struct ef_Str part,
                            const struct ef_TensorSink *sink,
                            struct ef_Buf *err);
    // Lets the optimizer use the gradients gathered in a part's parameters, and clears them; an empty name:
    // of all parts.
    ef_Status (*update)(void *ctx, struct ef_Str part, struct ef_Buf *err);
    // Clears the gradients gathered in a part's parameters; an empty name: of all parts.
    ef_Status (*clear_gradients)(void *ctx, struct ef_Str part, struct ef_Buf *err);
    // A seed for random numbers of this step, from the experiment's seed, the step and `purpose`.
    uint64_t (*seed)(void *ctx, struct ef_Str purpose);
    // The number of the current step, from 0.
    uint64_t (*step)(void *ctx);
} ef_AgentVTable;

// What came from the environment for one step.
typedef struct ef_Batch {
    // The streams that observed something, in the order of the tensor's rows; each at most once.
    const uint64_t *live;
    // How many; at least 1.
    size_t live_count;
    // What they observed, (live streams, length), the reserved numbers first; NaN is a hole.
    const ef_Tensor *observation;
    // For each live stream whether an episode ended with this observation.
    const bool *episode_ends;
    // Streams that were announced since the last step, live or not yet.
    const uint64_t *started;
    // How many.
    size_t started_count;
    // Streams that ended since the last step, before those in `started` began.
    const uint64_t *ended;
    // How many.
    size_t ended_count;
} ef_Batch;

// Functions of a `ef_Params`. Names are joined by dots, such as `z.layer.0.weight.1`.
typedef struct ef_ParamsVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Takes the first value of a parameter (`trainable`) or of a buffer, moves it to the experiment's device
    // and answers with a handle that shares its storage and gradient. `init` is given, on the CPU.
    ef_Status (*add)(void *ctx,
                     struct ef_Str name,
                     ef_Tensor *init,
                     bool trainable,
                     ef_Tensor **out,
                     struct ef_Buf *err);
    // A seed for random numbers, from the experiment's seed, the part's name and `name`.
    uint64_t (*seed)(void *ctx, struct ef_Str name);
    // Puts a shared handle of every tensor whose name begins with `prefix`, in the order of their making.
    ef_Status (*list)(void *ctx, struct ef_Str prefix, const struct ef_TensorSink *sink, struct ef_Buf *err);
    // The device of the experiment: −1 for the CPU, else the number of the CUDA device.
    int32_t (*device)(void *ctx);
} ef_ParamsVTable;

// A part of the experiment's parameter store. Lent for the call.
typedef struct ef_Params {
    // Passed back to each function.
    void *ctx;
    // The functions.
    const struct ef_ParamsVTable *vtable;
} ef_Params;

// The gradients that a backward pass starts from. Lent for the call.
//
// They come in `lane_count` lanes: several gradients of the same outputs, which are kept apart. Row `r` of
// `gradient` belongs to row `r % batch` of the forward pass, and to lane `r / batch`.
typedef struct ef_Incoming {
    // (lane_count · batch, outs)
    const ef_Tensor *gradient;
    // For each lane whether it reaches the parameters.
    const bool *to_parameters;
    // How many lanes there are; at least 1.
    size_t lane_count;
    // How many lanes, from the first on, reach the input.
    size_t to_input;
} ef_Incoming;

// A forward and a backward pass of a layer's or a cell's own. libtorch's gradients are off during both.
typedef struct ef_PassesVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Whether this object has them.
    bool (*available)(void *this_);
    // Of `x` (batch, ins): all outputs, (batch, outs). Puts the tensors that `backward` needs, names left empty.
    ef_Status (*forward)(void *this_,
                         const ef_Tensor *x,
                         ef_Tensor **out,
                         const struct ef_TensorSink *kept,
                         struct ef_Buf *err);
    // Of what `forward` put, in its order: the gradient of the input, (to_input · batch, ins), null if `to_input`
    // is 0; and puts the gradient of each trained parameter, summed over the lanes that reach it, in the order in
    // which they were made: null for one without.
    ef_Status (*backward)(void *this_,
                          const ef_Tensor *const *kept,
                          size_t kept_count,
                          const struct ef_Incoming *incoming,
                          ef_Tensor **input,
                          const struct ef_TensorSink *parameters,
                          struct ef_Buf *err);
} ef_PassesVTable;

// Functions of a layer plugin.
typedef struct ef_LayerVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Makes a layer `ins → outs`; `options` is a JSON object.
    ef_Status (*create)(struct ef_Str options,
                        int64_t ins,
                        int64_t outs,
                        const struct ef_Params *params,
                        void **out,
                        struct ef_Buf *err);
    // Of `x` (batch, ins): the outputs `start .. end`, (batch, end − start).
    ef_Status (*forward)(void *this_,
                         const ef_Tensor *x,
                         int64_t start,
                         int64_t end,
                         ef_Tensor **out,
                         struct ef_Buf *err);
    // Frees the layer.
    void (*destroy)(void *this_);
    // Passes of the layer's own, which spare libtorch's autograd; null: there are none.
    const struct ef_PassesVTable *passes;
    // Multiplications of a forward pass over one row of `x`, all outputs, for estimates of a step's work; 0:
    // unknown. Null: unknown of every layer.
    uint64_t (*multiplications)(void *this_);
} ef_LayerVTable;

// A linear map, made. Owned by its receiver.
typedef struct ef_LayerObject {
    // The object.
    void *this_;
    // Its functions.
    const struct ef_LayerVTable *vtable;
} ef_LayerObject;

// Functions of a `ef_LayerFactory`.
typedef struct ef_LayerFactoryVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Makes a layer `ins → outs` with its parameters in `params`; gives the layer.
    ef_Status (*make)(void *ctx,
                      int64_t ins,
                      int64_t outs,
                      const struct ef_Params *params,
                      struct ef_LayerObject *out,
                      struct ef_Buf *err);
} ef_LayerFactoryVTable;

// Makes layers of the experiment's own kind. Lent for the call.
typedef struct ef_LayerFactory {
    // Passed back to each function.
    void *ctx;
    // The functions.
    const struct ef_LayerFactoryVTable *vtable;
} ef_LayerFactory;

// Functions of a cell plugin.
typedef struct ef_CellVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Makes a cell `ins → outs` of layers from `layers`; `options` is a JSON object.
    ef_Status (*create)(struct ef_Str options,
                        int64_t ins,
                        int64_t outs,
                        const struct ef_LayerFactory *layers,
                        const struct ef_Params *params,
                        void **out,
                        struct ef_Buf *err);
    // Of `x` (batch, ins): the numbers `start .. end` of the next state, (batch, end − start).
    ef_Status (*forward)(void *this_,
                         const ef_Tensor *x,
                         int64_t start,
                         int64_t end,
                         ef_Tensor **out,
                         struct ef_Buf *err);
    // Frees the cell.
    void (*destroy)(void *this_);
    // Passes of the cell's own, which spare libtorch's autograd; null: there are none.
    const struct ef_PassesVTable *passes;
} ef_CellVTable;

// What an environment is handed while it opens. Lent for the call.
typedef struct ef_EnvironmentSetup {
    // A seed for its random numbers, from the experiment's seed and the environment's name.
    uint64_t seed;
    // The run's directory, where the environment may keep files of its own in a folder of its name; empty: none.
    struct ef_Str run_directory;
} ef_EnvironmentSetup;

// A lent run of 32-bit floats.
typedef struct ef_Floats {
    // First number; may be anything if `len` is 0.
    const float *ptr;
    // How many numbers.
    size_t len;
} ef_Floats;

// What one stream observed at one moment.
typedef struct ef_Frame {
    // The stream.
    uint64_t stream;
    // Numbers in −1…1; NaN is a hole.
    struct ef_Floats observation;
    // How many actions the stream wants in answer.
    size_t action_length;
    // What is to be maximised, in −1…1; NaN: absent.
    float score;
    // Whether an episode ended with this frame.
    bool episode_end;
} ef_Frame;

// Receives what `poll` has to tell. Lent for the call.
typedef struct ef_FrameSink {
    // Passed back to each function.
    void *ctx;
    // A stream begins; `frame` does the same for a stream not known yet.
    void (*begin)(void *ctx, uint64_t stream);
    // A frame, lent. At most one a stream in one `poll`.
    void (*frame)(void *ctx, const struct ef_Frame *frame);
    // A stream has ended; its number may come back as a new one.
    void (*end)(void *ctx, uint64_t stream);
    // The environment is over: no frame will come any more.
    void (*close)(void *ctx);
} ef_FrameSink;

// Receives a picture. Lent for the call.
typedef struct ef_PictureSink {
    // Passed back to `put`.
    void *ctx;
    // Takes a copy of `3 · width · height` lent bytes: red, green, blue, row by row from the top left.
    void (*put)(void *ctx, size_t width, size_t height, const uint8_t *rgb);
} ef_PictureSink;

// Functions of an environment plugin.
typedef struct ef_EnvironmentVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Opens the environment; `options` is a JSON object.
    ef_Status (*create)(struct ef_Str options,
                        const struct ef_EnvironmentSetup *setup,
                        void **out,
                        struct ef_Buf *err);
    // Tells what has come, waiting for it at most `timeout` nanoseconds.
    ef_Status (*poll)(void *this_, uint64_t timeout, const struct ef_FrameSink *sink, struct ef_Buf *err);
    // Answers the last frame of a stream: what the agent predicts of the next one, and its actions in −1…1.
    ef_Status (*act)(void *this_,
                     uint64_t stream,
                     struct ef_Floats prediction,
                     struct ef_Floats action,
                     struct ef_Buf *err);
    // Draws an observation of a stream (or a prediction of it); puts nothing if it has no picture.
    ef_Status (*picture)(void *this_,
                         uint64_t stream,
                         struct ef_Floats observation,
                         const struct ef_PictureSink *sink,
                         struct ef_Buf *err);
    // A `ef_Restores`.
    uint32_t (*restores)(void *this_);
    // Writes what `restore` needs.
    ef_Status (*save)(void *this_, struct ef_Buf *out, struct ef_Buf *err);
    // Takes up what `save` wrote, `len` lent bytes.
    ef_Status (*restore)(void *this_, const uint8_t *saved, size_t len, struct ef_Buf *err);
    // Closes and frees the environment; leaves nothing running.
    void (*destroy)(void *this_);
} ef_EnvironmentVTable;

// One way for the gradient to run through an evaluation whose value all lanes share.
typedef struct ef_Lane {
    // First output wanted.
    int64_t start;
    // One past the last output wanted.
    int64_t end;
    // The input is cut into chunks of this many numbers; 0: one chunk.
    int64_t chunk;
    // Which chunks carry gradient: bit `i` of it for every chunk whose number is `i` modulo `period`.
    uint64_t carries;
    // See `carries`; at least 1, at most 64.
    uint32_t period;
    // Whether the parameters get no gradient.
    bool frozen;
} ef_Lane;

// Functions of a `ef_Transition`.
typedef struct ef_TransitionVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Evaluates the cell on `x` (batch, ins) once for all lanes; writes one given tensor a lane,
    // (batch, end − start).
    ef_Status (*evaluate)(void *ctx,
                          const ef_Tensor *x,
                          const struct ef_Lane *lanes,
                          size_t lane_count,
                          ef_Tensor **out,
                          struct ef_Buf *err);
    // The size of the state.
    int64_t (*outs)(void *ctx);
} ef_TransitionVTable;

// The experiment's cell, as a goal sees it. Lent for the call.
typedef struct ef_Transition {
    // Passed back to each function.
    void *ctx;
    // The functions.
    const struct ef_TransitionVTable *vtable;
} ef_Transition;

// A lent tensor and its name.
typedef struct ef_NamedTensor {
    // The name that it was saved under.
    struct ef_Str name;
    // The lent tensor.
    const ef_Tensor *tensor;
} ef_NamedTensor;

// Functions of a goal plugin.
typedef struct ef_GoalVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Makes a goal for a state of `state_size` numbers; `options` is a JSON object.
    ef_Status (*create)(struct ef_Str options,
                        int64_t state_size,
                        const struct ef_LayerFactory *layers,
                        const struct ef_Params *params,
                        void **out,
                        struct ef_Buf *err);
    // How many numbers at the front of the state the goal keeps for itself. The first of them, if any, is the
    // score's; observations follow.
    int64_t (*reserved)(void *this_);
    // The next state, (batch, state size), of the input `x` (batch, input size).
    ef_Status (*transition)(void *this_,
                            const struct ef_Transition *cell,
                            const ef_Tensor *x,
                            ef_Tensor **out,
                            struct ef_Buf *err);
    // `length` actions of each stream, (batch, length), from its state (batch, state size).
    ef_Status (*act)(void *this_, const ef_Tensor *state, int64_t length, ef_Tensor **out, struct ef_Buf *err);
    // The terms of the loss.
    ef_Status (*loss)(void *this_,
                      const struct ef_LossInput *input,
                      const struct ef_LossSink *sink,
                      struct ef_Buf *err);
    // Puts what `restore` needs, parameters and buffers in the store excepted.
    ef_Status (*save)(void *this_, const struct ef_TensorSink *sink, struct ef_Buf *err);
    // Takes up what `save` put.
    ef_Status (*restore)(void *this_, const struct ef_NamedTensor *saved, size_t count, struct ef_Buf *err);
    // Frees the goal.
    void (*destroy)(void *this_);
} ef_GoalVTable;

// Services of the host. Lives as long as the process; may be called from any thread.
typedef struct ef_HostApi {
    // Size of the host's table, in bytes.
    size_t size;
    // Whether an event of this level (1 error, 2 warning, 3 info, 4 debug, 5 trace) would be heard.
    bool (*log_enabled)(uint32_t level, struct ef_Str target);
    // Takes one event.
    void (*log)(uint32_t level, struct ef_Str target, struct ef_Str file, uint32_t line, struct ef_Str message);
    // Records `value` under `name` for this step; several values between two recordings are averaged.
    void (*metric)(struct ef_Str name, double value);
} ef_HostApi;

// Says what a library is, in plain bytes without pointers: the host reads it from the FILE and decides on it
// before the library is loaded. Texts are UTF-8, ended by a zero.
typedef struct ef_Stamp {
    // `ef_MAGIC`.
    uint8_t magic[8];
    // `ef_ABI_VERSION` of the maker.
    uint32_t abi_version;
    // Size of the maker's `ef_Stamp`, in bytes.
    uint32_t size;
    // Version of the SDK that made it, or the author's own for a library made without it.
    uint8_t sdk_version[16];
    // Version of libtorch that the library was compiled against, such as `2.13.0`.
    uint8_t libtorch_version[16];
    // Target that it was compiled for, such as `x86_64-unknown-linux-gnu`.
    uint8_t target[48];
    // One line a plugin: `kind/name`, version and description, with tabs between them.
    uint8_t plugins[ef_PLUGINS_LEN];
} ef_Stamp;

// One plugin of a library.
typedef struct ef_Entry {
    // A `ef_Kind`.
    uint32_t kind;
    // The name that a spec says, such as `ldl`.
    struct ef_Str name;
    // The plugin's version.
    struct ef_Str version;
    // What it is, in one line.
    struct ef_Str description;
    // Writes the JSON Schema of the plugin's options.
    ef_Status (*options_schema)(struct ef_Buf *out, struct ef_Buf *err);
    // Reads options, given as a JSON object, and does nothing else. The first message of the chain that it
    // answers is the path of the option at fault, such as `synthetic_gradient.layers`.
    ef_Status (*check_options)(struct ef_Str options, struct ef_Buf *err);
    // The table of the plugin's kind.
    const void *vtable;
} ef_Entry;

// The static that a library exports as `ef_ENTRY_SYMBOL`.
typedef struct ef_Library {
    // Read from the file first.
    struct ef_Stamp stamp;
    // The library's plugins, as many as its stamp names.
    const struct ef_Entry *entries;
    // How many.
    size_t entry_count;
    // Called once, before anything else of the library. `host` lives as long as the process.
    ef_Status (*init)(const struct ef_HostApi *host, struct ef_Buf *err);
} ef_Library;

// A network of the trainer's own: a stack of the experiment's layer.
typedef struct ef_NetworkSpec {
    // Its name, which is also the name of its part.
    struct ef_Str name;
    // Numbers in.
    int64_t ins;
    // Numbers out.
    int64_t outs;
    // How many layers, at least 1.
    int64_t layers;
    // Name of the nonlinearity between layers, such as `softsign`.
    struct ef_Str nonlinearity;
    // Whether its output is zero at the start.
    bool zero_at_start;
    // The part's learning rate; NaN: the optimizer's.
    double learning_rate;
} ef_NetworkSpec;

// Functions of a `ef_TrainerSetup`.
typedef struct ef_TrainerSetupVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // The size of a state.
    int64_t (*state_size)(void *ctx);
    // How many numbers at the front of the state the goal keeps for itself.
    int64_t (*reserved)(void *ctx);
    // The device of the experiment: −1 for the CPU, else the number of the CUDA device.
    int32_t (*device)(void *ctx);
    // Makes a network that the agent keeps under its name.
    ef_Status (*network)(void *ctx, const struct ef_NetworkSpec *spec, struct ef_Buf *err);
} ef_TrainerSetupVTable;

// What a trainer is handed while it is made. Lent for the call.
typedef struct ef_TrainerSetup {
    // Passed back to each function.
    void *ctx;
    // The functions.
    const struct ef_TrainerSetupVTable *vtable;
} ef_TrainerSetup;

// The agent, as a trainer sees it during a step. Lent for the call.
typedef struct ef_Agent {
    // Passed back to each function.
    void *ctx;
    // The functions.
    const struct ef_AgentVTable *vtable;
} ef_Agent;

// Functions of a trainer plugin.
typedef struct ef_TrainerVTable {
    // Size of the maker's table, in bytes.
    size_t size;
    // Makes a trainer; `options` is a JSON object.
    ef_Status (*create)(struct ef_Str options,
                        const struct ef_TrainerSetup *setup,
                        void **out,
                        struct ef_Buf *err);
    // The width of what it hands to the agent's transition.
    int64_t (*input_size)(void *this_);
    // One step; gives the new states of the live streams, (live streams, state size).
    ef_Status (*step)(void *this_,
                      const struct ef_Agent *agent,
                      const struct ef_Batch *batch,
                      ef_Tensor **out,
                      struct ef_Buf *err);
    // Puts what `restore` needs.
    ef_Status (*save)(void *this_, const struct ef_TensorSink *sink, struct ef_Buf *err);
    // Takes up what `save` put.
    ef_Status (*restore)(void *this_, const struct ef_NamedTensor *saved, size_t count, struct ef_Buf *err);
    // Frees the trainer.
    void (*destroy)(void *this_);
} ef_TrainerVTable;

// The call did what it should.
#define ef_OK 0

// `*err` holds a chain of messages in UTF-8, the outermost first, with U+001F between them.
#define ef_ERROR 1

// As `ef_ERROR`, and the callee panicked: its object may only be destroyed from now on.
#define ef_PANIC 2

#endif  /* EFFERENCE_H */

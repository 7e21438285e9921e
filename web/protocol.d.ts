// The protocol between the page and its worker. Made from src/session by the test `protocol_types`; to make it
// again: UPDATE=1 cargo test --release --lib protocol_types

/**
 * What computes.
 */
export type Adapter = {
/**
 * One line for people.
 */
line: string,
/**
 * A CPU does the GPU's work: expect it to be slow.
 */
software: boolean, };

/**
 * The architectures (docs/architectures.md has the formulas).
 */
export type Arch = "tied" | "relu" | "topk";

/**
 * What is done to a feature.
 */
export type Change = "clamp" | "scale" | "ablate";

/**
 * A change of one feature.
 */
export type Edit = {
/**
 * The feature.
 */
feature: number,
/**
 * What is done to it.
 */
change: Change,
/**
 * Value for clamping (activation units) or factor for scaling.
 */
value: number, };

/**
 * What comes while a request is worked on, or while training goes on.
 */
export type Event = { "kind": "progress",
/**
 * What is done, for people.
 */
what: string,
/**
 * Share that is done, 0 to 1.
 */
done: number, } | { "kind": "part",
/**
 * Which part: the id of the element that it fills.
 */
slot: string,
/**
 * The fragment.
 */
html: string, } | { "kind": "training" } & TrainingState | { "kind": "problem" } & Problem;

/**
 * A feature.
 */
export type FeatureReply = {
/**
 * Its page.
 */
html: string,
/**
 * Its name, `2/731`.
 */
name: string,
/**
 * Its label.
 */
label: string | null,
/**
 * Its largest activation.
 */
max: number, };

/**
 * Which feature.
 */
export type FeatureRequest = {
/**
 * Its index.
 */
feature: number, };

/**
 * The same with names, labels and ranges.
 */
export type KnobsReply = {
/**
 * A row for each.
 */
html: string,
/**
 * What is changed now.
 */
edits: Array<Edit>, };

/**
 * The features that are to be changed.
 */
export type KnobsRequest = {
/**
 * What is changed.
 */
edits: Array<Edit>,
/**
 * One more, held at its largest activation.
 */
add: number | null,
/**
 * The feature whose value becomes the usual one of its change.
 */
reset: number | null, };

/**
 * A part of the list.
 */
export type ListReply = {
/**
 * The rows.
 */
html: string,
/**
 * Rows that match, in all.
 */
found: number,
/**
 * Their indices, in this part.
 */
features: Array<number>, };

/**
 * Which part of the list.
 */
export type ListRequest = {
/**
 * Words to find in labels and tokens, or an index.
 */
query: string,
/**
 * Order.
 */
sort: SortBy,
/**
 * The other way round.
 */
reverse: boolean,
/**
 * First row.
 */
from: number,
/**
 * Rows.
 */
count: number,
/**
 * The text for [`SortBy::Activation`].
 */
text: string, };

/**
 * Its numbers.
 */
export type MeasureReply = {
/**
 * Logits at the last position.
 */
logits: Array<number>,
/**
 * Codes of the dictionary in use at the last position.
 */
codes: Array<number>,
/**
 * Loss of each training step.
 */
losses: Array<number>,
/**
 * Encoder weights of the first features after the last step.
 */
weights: Array<number>,
/**
 * GPU memory in use after each step, bytes.
 */
memory: Array<number>, };

/**
 * The fixed input.
 */
export type MeasureRequest = {
/**
 * The text.
 */
text: string,
/**
 * Features and batch of the training step.
 */
features: number,
/**
 * Rows of the training step: the text's activations, repeated.
 */
batch: number,
/**
 * Training steps.
 */
steps: number, };

/**
 * A dictionary.
 */
export type OpenDictionary = {
/**
 * Its name.
 */
name: string,
/**
 * `topk k=16`, say.
 */
title: string,
/**
 * Where its activations are from.
 */
hook: string,
/**
 * Features.
 */
features: number,
/**
 * Whether its weights are there (else only its precomputed pages).
 */
weights: boolean,
/**
 * Whether its pages are there.
 */
pages: boolean, };

/**
 * The language model.
 */
export type OpenModel = {
/**
 * Its name.
 */
name: string,
/**
 * `gpt2`, `gpt_neox` or `llama`.
 */
family: string,
/**
 * Parameters.
 */
parameters: number,
/**
 * Blocks.
 */
layers: number,
/**
 * Coordinates of the residual stream.
 */
d_model: number,
/**
 * The longest context in tokens.
 */
context: number,
/**
 * Hooks that dictionaries can be trained at, with their widths.
 */
hooks: Array<[string, number]>,
/**
 * Whether there are enough names that are single tokens for the indirect-object experiment.
 */
ioi: boolean, };

/**
 * Two prompts and their answers, as they were typed.
 */
export type Own = {
/**
 * The prompt whose answer is looked for.
 */
clean: string,
/**
 * The prompt it is compared with.
 */
corrupted: string,
/**
 * What the clean prompt should be followed by: one token.
 */
answer: string,
/**
 * What the corrupted prompt should be followed by: one token.
 */
wrong: string, };

/**
 * The experiment.
 */
export type PatchReply = {
/**
 * Prompts side by side, heat map, curve.
 */
html: string,
/**
 * logit(answer) - logit(wrong) of the clean prompts, mean.
 */
clean: number,
/**
 * The same of the corrupted ones.
 */
corrupted: number,
/**
 * Share of the difference that each patch takes away, by hook and position.
 */
map: Array<Array<number>>,
/**
 * KL to the other prompt by number of patched features, a curve for each decomposition: name and points.
 */
curves: Array<[string, Array<[number, number]>]>, };

/**
 * What is patched.
 */
export type PatchRequest = { "of": "task",
/**
 * Pairs.
 */
prompts: number,
/**
 * Of the draw.
 */
seed: number, } | { "of": "own" } & Own | { "of": "check" } & Own;

/**
 * What went wrong and what to do.
 */
export type Problem = {
/**
 * What kind.
 */
trouble: Trouble,
/**
 * What, in plain words, with the way out.
 */
message: string, };

/**
 * A text that was read.
 */
export type ReadReply = {
/**
 * The tokens, what fires, what comes next.
 */
html: string,
/**
 * Tokens.
 */
tokens: number,
/**
 * Mean next-token cross-entropy, nats.
 */
loss: number | null,
/**
 * Milliseconds of the worker.
 */
ms: number, };

/**
 * A text to read.
 */
export type ReadRequest = {
/**
 * The text.
 */
text: string,
/**
 * The feature that shades it; `None`: each token shows its strongest.
 */
feature: number | null,
/**
 * The token whose predictions and features are shown; `None`: the last.
 */
token: number | null, };

/**
 * The answer to a request.
 */
export type Reply = { "kind": "state" } & State | { "kind": "html",
/**
 * The fragment.
 */
html: string, } | { "kind": "read" } & ReadReply | { "kind": "list" } & ListReply | { "kind": "feature" } & FeatureReply | { "kind": "steer" } & SteerReply | { "kind": "knobs" } & KnobsReply | { "kind": "patch" } & PatchReply | { "kind": "training" } & TrainingState | { "kind": "self_test" } & SelfTestReply | { "kind": "measure" } & MeasureReply;

/**
 * What the page asks for.
 */
export type Request = { "kind": "state" } | { "kind": "open" } | { "kind": "atlas" } | { "kind": "model",
/**
 * What it is called.
 */
name: string, } | { "kind": "dictionary",
/**
 * What it is called.
 */
name: string, } | { "kind": "use",
/**
 * Its name.
 */
dictionary: string, } | { "kind": "text" } | { "kind": "read" } & ReadRequest | { "kind": "list" } & ListRequest | { "kind": "feature" } & FeatureRequest | { "kind": "export" } & FeatureRequest | { "kind": "test" } & TestRequest | { "kind": "steer" } & SteerRequest | { "kind": "knobs" } & KnobsRequest | { "kind": "patch" } & PatchRequest | { "kind": "train" } & TrainRequest | { "kind": "pause" } | { "kind": "resume" } | { "kind": "finish" } | { "kind": "discard" } | { "kind": "save" } | { "kind": "self_test" } & SelfTestRequest | { "kind": "measure" } & MeasureRequest | { "kind": "lose" };

/**
 * How the kernels did.
 */
export type SelfTestReply = {
/**
 * Cases.
 */
cases: number,
/**
 * Kernels.
 */
kernels: number,
/**
 * What failed, a line each.
 */
failed: Array<string>, };

/**
 * Which kernels.
 */
export type SelfTestRequest = {
/**
 * Only those with this in their name; empty: all.
 */
kernel: string, };

/**
 * What the list is sorted by.
 */
export type SortBy = "interest" | "label" | "density" | "score" | "index" | "activation";

/**
 * What is open.
 */
export type State = {
/**
 * The adapter, once the GPU is open.
 */
adapter: Adapter | null,
/**
 * The language model.
 */
model: OpenModel | null,
/**
 * The dictionaries, in the order in which they came.
 */
dictionaries: Array<OpenDictionary>,
/**
 * Name of the one in use.
 */
dictionary: string | null,
/**
 * Name of the text to train on, once it is there.
 */
text: string | null,
/**
 * The dictionary that is being trained (it may wait).
 */
training: TrainingState | null,
/**
 * GPU memory in use, bytes.
 */
memory: number, };

/**
 * Both texts.
 */
export type SteerReply = {
/**
 * Both texts, and the change of next-token probabilities.
 */
html: string,
/**
 * The unsteered continuation.
 */
plain: string,
/**
 * The steered one.
 */
steered: string,
/**
 * KL(unsteered || steered) of the next token after the prompt, nats.
 */
kl: number,
/**
 * Mean length of the edit over the prompt's positions.
 */
edit: number, };

/**
 * What to generate.
 */
export type SteerRequest = {
/**
 * How the text begins.
 */
prompt: string,
/**
 * What is changed.
 */
edits: Array<Edit>,
/**
 * The control: what the edits add goes along a random direction of the same norm instead.
 */
control: boolean,
/**
 * Tokens to add.
 */
tokens: number,
/**
 * 0 takes the most probable token.
 */
temperature: number,
/**
 * Of the draws, the same for both texts; of the control's direction.
 */
seed: number, };

/**
 * One feature on one text.
 */
export type TestRequest = {
/**
 * The feature.
 */
feature: number,
/**
 * The text.
 */
text: string,
/**
 * Whether what the text loses without the feature is shown too.
 */
ablate: boolean, };

/**
 * What to train.
 */
export type TrainRequest = {
/**
 * What the dictionary is called; empty: by its options.
 */
name: string,
/**
 * Where activations are taken.
 */
hook: string,
/**
 * Architecture.
 */
arch: Arch,
/**
 * Features.
 */
features: number,
/**
 * Active features per token, for TopK.
 */
k: number,
/**
 * L1 coefficient, for the others.
 */
l1: number,
/**
 * Activations per step.
 */
batch: number,
/**
 * Steps.
 */
steps: number,
/**
 * Different tokens of the text to train on.
 */
tokens: number,
/**
 * Of the starting weights and the order of the batches.
 */
seed: number, };

/**
 * How training goes.
 */
export type TrainingState = {
/**
 * What the dictionary is called.
 */
name: string,
/**
 * Steps done.
 */
step: number,
/**
 * Steps in all.
 */
steps: number,
/**
 * Whether it waits.
 */
paused: boolean,
/**
 * Whether all steps are done: the dictionary is in use.
 */
finished: boolean,
/**
 * Activations per second, of the last steps.
 */
rate: number,
/**
 * Seconds left at this rate.
 */
left: number,
/**
 * Loss of the first logged step and of the last.
 */
loss: [number, number] | null,
/**
 * Charts and numbers, when there is something new to show.
 */
html: string | null, };

/**
 * What kind of problem it is: the page acts on it.
 */
export type Trouble = "no_gpu" | "lost" | "memory" | "limit" | "input" | "stopped" | "internal";

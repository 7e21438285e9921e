// What wasm-bindgen makes of src/web.rs.

/** Fetches and starts the WebAssembly. */
export default function init(): Promise<unknown>;

/** Ends what the engine is doing. */
export class Stopper {
  stop(): void;
}

/** The session of the worker. Requests, replies, events and problems are JSON of protocol.d.ts. */
export class Engine {
  constructor();
  stopper(): Stopper;
  handle(request: string, files: [string, Uint8Array][], emit: (event: string) => void): Promise<[string, [string, Uint8Array][]]>;
  work(emit: (event: string) => void): Promise<boolean>;
}

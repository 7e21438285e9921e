// What a visitor sees first. All of it works without a script; this only leads on once the model is there.
import { go, place } from '../url.js';

let had = false;

export function show() {}

/** @param {import('../../protocol').State} state */
export function changed(state) {
  const has = state.model !== null;
  // Whoever pressed the button here wanted to type.
  if (has && !had && place().view === 'start') go('read');
  had = has;
}

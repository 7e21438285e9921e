// The view "steer".

/** @param {URLSearchParams} _params */
export function show(_params) {}

// The view "model".

/** @param {URLSearchParams} _params */
export function show(_params) {}

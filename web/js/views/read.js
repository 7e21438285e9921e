// The view "read".

/** @param {URLSearchParams} _params */
export function show(_params) {}

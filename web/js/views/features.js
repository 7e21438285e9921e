// The view "features".

/** @param {URLSearchParams} _params */
export function show(_params) {}

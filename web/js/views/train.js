// The view "train".

/** @param {URLSearchParams} _params */
export function show(_params) {}

// The view "start".

/** @param {URLSearchParams} _params */
export function show(_params) {}

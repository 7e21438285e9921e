// The view "patch".

/** @param {URLSearchParams} _params */
export function show(_params) {}

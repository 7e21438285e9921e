// What every fragment gets, whoever made it: grey marks for spaces, examples that open, charts that can be saved.
// Without it all is there to read.

const root = /** @type {HTMLElement} */ (document.getElementById('main'));

/** @template {Element} T @param {string} selector @returns {T[]} */
const all = (selector) => /** @type {T[]} */ ([...root.querySelectorAll(selector)]);

/** Spaces in examples are bare dots, to save elements; they are greyed as ranges of text. */
function spaces() {
  if (!('Highlight' in window)) return;
  const found = new Highlight();
  for (const side of all('.view:not([hidden]) .ex li > span, .view:not([hidden]) .ex li > span > span')) {
    for (const text of side.childNodes) {
      if (!(text instanceof Text)) continue;
      for (let at = text.data.indexOf('·'); at >= 0; at = text.data.indexOf('·', at + 1)) {
        found.add(new StaticRange({ startContainer: text, startOffset: at, endContainer: text, endOffset: at + 1 }));
      }
    }
  }
  CSS.highlights.set('space', found);
}

function charts() {
  for (const svg of all('.panel > svg.chart:only-child')) {
    const button = document.createElement('button');
    button.className = 'save';
    button.type = 'button';
    button.textContent = 'Save SVG';
    button.onclick = () => save(svg);
    svg.after(button);
  }
}

/** The style goes along, so that the file looks the same outside the page. @param {Element} svg */
function save(svg) {
  const copy = /** @type {Element} */ (svg.cloneNode(true));
  const css = document.createElementNS('http://www.w3.org/2000/svg', 'style');
  css.textContent = document.getElementById('chart-css')?.textContent ?? '';
  copy.prepend(css);
  const link = document.createElement('a');
  const name = (svg.getAttribute('aria-label') ?? 'chart').toLowerCase().replace(/[^a-z0-9]+/g, '-');
  link.download = `${name.slice(0, 60)}.svg`;
  link.href = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: 'image/svg+xml' }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

let waiting = false;

function dress() {
  waiting = false;
  spaces();
  charts();
}

new MutationObserver(() => {
  if (!waiting) requestAnimationFrame(dress);
  waiting = true;
}).observe(root, { childList: true, subtree: true, attributes: true, attributeFilter: ['hidden'] });

/** Values of tokens far to the right open to the left. @param {Event} e */
function flip(e) {
  const token = /** @type {Element} */ (e.target).closest('.rd .t');
  token?.classList.toggle('flip', token.getBoundingClientRect().left > innerWidth * 0.55);
}
root.addEventListener('pointerover', flip);
root.addEventListener('focusin', flip);

// A click opens the whole text of an example.
root.addEventListener('click', (e) => {
  const row = /** @type {Element} */ (e.target).closest('.ex li');
  if (row && !String(getSelection())) row.classList.toggle('open');
});
root.addEventListener('keydown', (e) => {
  if (e.key === 'Enter') /** @type {Element} */ (e.target).closest('.ex li')?.classList.toggle('open');
});
dress();

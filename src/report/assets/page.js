'use strict';
// Everything here is an addition: without it the report shows all features one below the other.
(() => {
  const root = document.documentElement;
  root.classList.add('js');
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];

  // Charts as files. The style goes along, so that the file looks the same outside the page.
  const style = document.getElementById('chart-css').textContent;
  for (const figure of all('figure')) {
    const charts = all('svg.chart', figure);
    charts.forEach((svg) => {
      const button = document.createElement('button');
      button.className = 'save';
      button.textContent = 'Save SVG';
      button.onclick = () => {
        const copy = svg.cloneNode(true);
        const css = document.createElementNS(svg.namespaceURI, 'style');
        css.textContent = style;
        copy.prepend(css);
        const link = document.createElement('a');
        const name = svg.getAttribute('aria-label').toLowerCase().replace(/[^a-z0-9]+/g, '-');
        link.download = `${name.slice(0, 60)}.svg`;
        const file = new Blob([new XMLSerializer().serializeToString(copy)], { type: 'image/svg+xml' });
        link.href = URL.createObjectURL(file);
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      };
      svg.parentNode.append(button);
    });
  }

  // The table of contents follows the reader.
  const links = new Map(all('.toc a').map((a) => [a.hash.slice(1), a]));
  const follow = () => {
    let current = null;
    for (const section of all('main > section')) {
      if (section.getBoundingClientRect().top < innerHeight / 3) current = section.id;
    }
    for (const [id, a] of links) a.classList.toggle('here', id === current);
  };
  addEventListener('scroll', follow, { passive: true });
  follow();

  // Spaces in examples are bare dots, which saves half of the page's elements. They are greyed as
  // ranges of text; a dot that was in the text itself stands in an element and keeps its colour.
  const grey = (feature) => {
    if (!window.Highlight) return;
    const spaces = new Highlight();
    for (const side of all('.ex li > span, .ex li > span > span', feature)) {
      for (const text of side.childNodes) {
        if (text.nodeType !== Node.TEXT_NODE) continue;
        for (let at = text.data.indexOf('·'); at >= 0; at = text.data.indexOf('·', at + 1)) {
          const range = new StaticRange({ startContainer: text, startOffset: at, endContainer: text, endOffset: at + 1 });
          spaces.add(range);
        }
      }
    }
    CSS.highlights.set('space', spaces);
  };

  // A click opens the whole text of an example.
  document.addEventListener('click', (event) => {
    const row = event.target.closest('.ex li');
    if (row && !String(getSelection())) row.classList.toggle('open');
  });
  addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && event.target.closest('.ex li')) {
      event.target.closest('li').classList.toggle('open');
    }
  });

  const body = document.querySelector('.list tbody');
  if (!body) {
    grey(document);
    return;
  }
  const rows = all('tr', body);
  const place = document.querySelector('.place');
  const visible = () => all('tr', body).filter((row) => !row.hidden);
  let shown = null;

  const show = (row, jump) => {
    if (!row) return;
    const feature = document.getElementById(row.dataset.f);
    if (shown) shown.row.classList.remove('here'), shown.feature.classList.remove('here');
    shown = { row, feature };
    row.classList.add('here');
    feature.classList.add('here');
    grey(feature);
    // Tab reaches every active token of the feature on show, and of no other.
    for (const token of all('.ex b', feature)) token.tabIndex = 0;
    const list = body.closest('.list');
    const head = list.querySelector('thead').offsetHeight;
    const top = row.offsetTop - head;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (row.offsetTop + row.offsetHeight > list.scrollTop + list.clientHeight) {
      list.scrollTop = row.offsetTop + row.offsetHeight - list.clientHeight;
    }
    const order = visible();
    place.textContent = `${order.indexOf(row) + 1} of ${order.length}`;
    if (jump) {
      history.replaceState(null, '', `#${row.dataset.f}`);
      const box = feature.getBoundingClientRect();
      if (box.top > innerHeight * 0.8 || box.top < 0) {
        document.querySelector('.tools').scrollIntoView({ block: 'start' });
      }
    }
  };
  const step = (by) => {
    const order = visible();
    const at = shown ? order.indexOf(shown.row) : -1;
    show(order[Math.min(Math.max(at + by, 0), order.length - 1)], true);
  };
  const fromHash = () => {
    const row = rows.find((r) => `#${r.dataset.f}` === location.hash);
    if (row) show(row), row.closest('section').querySelector('.tools').scrollIntoView();
    return row;
  };

  body.onclick = (event) => {
    const row = event.target.closest('tr');
    if (row) event.preventDefault(), show(row, true);
  };
  addEventListener('hashchange', fromHash);
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest('input, select, textarea')) {
      if (event.key === 'Escape') search.value = '', filter(), event.target.blur();
      return;
    }
    const box = document.querySelector('.features').getBoundingClientRect();
    const inView = box.top < innerHeight && box.bottom > 0;
    const by = { j: 1, k: -1, ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === '/') event.preventDefault(), search.focus();
    else if (by && (inView || event.key.length === 1)) event.preventDefault(), step(by);
  });
  document.querySelector('.before').onclick = () => step(-1);
  document.querySelector('.after').onclick = () => step(1);

  const search = document.querySelector('.tools input');
  const found = document.querySelector('.found');
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => row.dataset.q.includes(word));
    const order = visible();
    found.textContent = words.length ? `${order.length} found` : '';
    if (order.length && (!shown || shown.row.hidden)) show(order[0]);
    else if (shown) show(shown.row);
  };
  search.oninput = filter;
  const sort = (key, down) => {
    const value = (row) => Number(row.dataset[key]);
    body.append(...rows.sort((a, b) => (down ? value(b) - value(a) : value(a) - value(b)) || a.dataset.i - b.dataset.i));
    for (const th of all('.list th[data-key]')) {
      if (th.dataset.key === key) th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      else th.removeAttribute('aria-sort');
    }
    if (shown) show(shown.row);
  };
  for (const th of all('.list th[data-key]')) {
    const button = document.createElement('button');
    button.append(...th.childNodes);
    th.append(button);
    button.onclick = () => sort(th.dataset.key, th.hasAttribute('aria-sort') ? th.getAttribute('aria-sort') === 'ascending' : th.dataset.key !== 'i');
  }
  if (!fromHash()) show(rows[0]);
})();

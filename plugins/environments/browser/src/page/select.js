// Runs in a world that the page cannot reach, in every frame. A headless Chromium draws no list for a `<select>`: this draws
// one into the page, in the top layer, so that it can be seen and clicked, and used with the keys of a real one.
{
  const STYLE = `
    :host { all: initial !important; position: fixed !important; inset: 0 !important; margin: 0 !important;
      padding: 0 !important; border: 0 !important; width: 0 !important; height: 0 !important;
      overflow: visible !important; display: block !important; }
    div { position: fixed; box-sizing: border-box; overflow: auto; background: #fff; color: #000;
      border: 1px solid #555; cursor: default; user-select: none; }
    p { margin: 0; padding: 2px 6px; white-space: pre; }
    p.group { font-weight: bold; }
    p.inner { padding-left: 18px; }
    p.disabled { color: #888; }
    p.chosen { background: #1967d2; color: #fff; }`;
  let open = null; // { select, host, rows: [{ option, row }], chosen }

  const isList = target => target instanceof HTMLSelectElement && !target.multiple && target.size <= 1;
  const isFree = option => !option.disabled && !(option.parentElement instanceof HTMLOptGroupElement
    && option.parentElement.disabled);

  function close() {
    open?.host.remove();
    open = null;
  }

  function mark(at) {
    if (!open || !open.rows[at]) return;
    open.rows[open.chosen]?.row.classList.remove('chosen');
    open.chosen = at;
    open.rows[at].row.classList.add('chosen');
    open.rows[at].row.scrollIntoView({ block: 'nearest' });
  }

  function choose(at) {
    const { select, rows } = open;
    const option = rows[at]?.option;
    if (option && !isFree(option)) return;
    close();
    if (!option || option.selected) return;
    option.selected = true;
    select.dispatchEvent(new Event('input', { bubbles: true, composed: true }));
    select.dispatchEvent(new Event('change', { bubbles: true }));
  }

  function show(select) {
    close();
    if (select.disabled || select.options.length === 0) return;
    const host = document.createElement('efference-options');
    const root = host.attachShadow({ mode: 'closed' });
    const style = document.createElement('style'), list = document.createElement('div');
    style.textContent = STYLE;
    root.append(style, list);
    const look = getComputedStyle(select);
    list.style.font = look.font;
    open = { select, host, rows: [], chosen: -1 };
    let group = null;
    for (const option of select.options) {
      const parent = option.parentElement instanceof HTMLOptGroupElement ? option.parentElement : null;
      if (option.hidden) continue;
      if (parent !== group && parent) {
        const row = document.createElement('p');
        row.className = 'group';
        row.textContent = parent.label;
        list.append(row);
      }
      group = parent;
      const row = document.createElement('p'), at = open.rows.length;
      row.textContent = option.label || '\u00a0';
      if (parent) row.classList.add('inner');
      if (!isFree(option)) row.classList.add('disabled');
      row.addEventListener('mousemove', () => { if (isFree(option)) mark(at); });
      row.addEventListener('mouseup', event => { if (event.isTrusted && event.button === 0) choose(at); });
      list.append(row);
      open.rows.push({ option, row });
    }
    // Nothing of this is the page's business.
    for (const kind of ['mousedown', 'mouseup', 'click', 'wheel', 'mousemove', 'pointerdown', 'pointerup'])
      host.addEventListener(kind, event => event.stopPropagation());
    host.addEventListener('mousedown', event => event.preventDefault()); // the select keeps the focus
    document.documentElement.append(host);
    try {
      host.popover = 'manual';
      host.showPopover(); // above all that the page has
    } catch {
      host.style.zIndex = 2147483647;
    }
    const box = select.getBoundingClientRect();
    list.style.minWidth = `${box.width}px`;
    const below = innerHeight - box.bottom, height = list.scrollHeight + 2;
    const up = height > below && box.top > below;
    list.style.maxHeight = `${Math.max(40, up ? box.top : below)}px`;
    list.style.top = `${up ? Math.max(0, box.top - Math.min(height, box.top)) : box.bottom}px`;
    list.style.left = `${Math.max(0, Math.min(box.left, innerWidth - list.offsetWidth))}px`;
    mark(open.rows.findIndex(({ option }) => option.selected));
  }

  addEventListener('mousedown', event => {
    if (!event.isTrusted || event.button !== 0) return;
    const target = event.composedPath()[0];
    const select = target instanceof Element ? target.closest('select') : null;
    const was = open?.select;
    if (open && target !== open.host && !event.composedPath().includes(open.host)) close();
    if (!isList(select)) return;
    event.preventDefault();
    select.focus();
    if (select !== was) show(select);
  }, true);

  addEventListener('keydown', event => {
    const select = event.composedPath()[0];
    if (!event.isTrusted || !isList(select) || event.ctrlKey || event.metaKey) return;
    if (!open) {
      if (event.key === ' ' || event.key === 'Enter' || (event.altKey && event.key.startsWith('Arrow'))) {
        event.preventDefault();
        show(select);
      }
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      let at = open.chosen + step;
      while (open.rows[at] && !isFree(open.rows[at].option)) at += step;
      mark(at);
    } else if (event.key === 'Enter' || event.key === ' ' || event.key === 'Tab') choose(open.chosen);
    else if (event.key === 'Escape') close();
    else return;
    if (event.key !== 'Tab') event.preventDefault();
  }, true);

  addEventListener('blur', event => { if (event.target === window || event.target === open?.select) close(); }, true);
  addEventListener('resize', close, true);
  addEventListener('scroll', event => { if (open && event.target !== open.host) close(); }, true);
}

// A choice of one: buttons side by side where they fit, a list where they do not.

/** items: [{key, name}]; `chosen` is called with the key. */
function switcher(label, items, current, chosen) {
  const letters = items.reduce((sum, item) => sum + item.name.length + 3, 0);
  if (items.length > 5 || letters > (isNarrow() ? 30 : 72)) {
    const list = el("select", { "aria-label": label });
    items.forEach((item, i) => list.append(el("option", { value: i, selected: item.key === current }, item.name)));
    list.addEventListener("change", () => chosen(items[list.value].key));
    return el("label.switch", null, el("span.switch-label", null, label), list);
  }
  const buttons = items.map((item) =>
    el("button", {
      type: "button",
      "aria-pressed": String(item.key === current),
      onclick: () => chosen(item.key),
    }, item.name));
  return el("div.switch", { role: "group", "aria-label": label },
    el("span.switch-label", { "aria-hidden": "true" }, label), el("span.buttons", null, buttons));
}

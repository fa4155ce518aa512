// What a person cannot read, reach or hit on this page: an array of sentences, and the lowest contrast of a text.
() => {
  const found = new Set();
  const say = (what, element, text = "") =>
    found.add(`${what}: <${element.tagName.toLowerCase()} class="${element.getAttribute("class") ?? ""}"> ${text.trim().slice(0, 60)}`);
  const style = element => getComputedStyle(element);

  // Colours, as red, green, blue (0 to 1) and opacity.
  const colour = text => {
    const numbers = text.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
    const scale = text.startsWith("rgb") ? 255 : 1;
    return [...numbers.slice(0, 3).map(n => n / scale), numbers[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = ([r, g, b]) => {
    const linear = n => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const contrast = (a, b) => {
    const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  };
  const canvas = colour(matchMedia("print").matches || !matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(255, 255, 255)" : "rgb(18, 18, 18)");
  const ground = element => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const layer = colour(style(each).backgroundColor);
      layers.push(layer);
      if (layer[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), canvas);
  };
  const opacity = element => {
    let all = 1;
    for (let each = element; each; each = each.parentElement) all *= Number(style(each).opacity);
    return all;
  };

  const scrolled = element => {
    for (let each = element; each; each = each.parentElement) if (/auto|scroll/.test(style(each).overflowX)) return true;
    return false;
  };
  // What is seen of a box.
  const clipped = (element, { left, right, top, bottom }) => {
    for (let each = element; each; each = each.parentElement) {
      if (!/hidden|clip|auto|scroll/.test(style(each).overflowX)) continue;
      const frame = each.getBoundingClientRect();
      [left, right] = [Math.max(left, frame.left), Math.min(right, frame.right)];
      [top, bottom] = [Math.max(top, frame.top), Math.min(bottom, frame.bottom)];
    }
    return { left, right, top, bottom };
  };

  // Each text with its boxes.
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.data.trim() || ["SCRIPT", "STYLE", "TITLE"].includes(element.tagName) || element.localName === "title") continue;
    if (!element.checkVisibility({ visibilityProperty: true }) || style(element).clipPath !== "none" || element.closest(".said")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const boxes = [...range.getClientRects()].filter(box => box.width > 0 && box.height > 0);
    const shown = boxes.map(box => clipped(element, box));
    if (boxes.length) texts.push({ element, text: node.data, boxes, shown, scrolled: scrolled(element) });
  }

  let lowest = 21;
  for (const { element, text } of texts) {
    if (element.closest("[disabled]")) continue;
    const own = style(element), below = ground(element);
    const ink = colour(element instanceof SVGElement ? own.fill : own.color);
    ink[3] *= opacity(element);
    const ratio = contrast(over(ink, below), below);
    lowest = Math.min(lowest, ratio);
    const large = parseFloat(own.fontSize) >= 24 || (parseFloat(own.fontSize) >= 18.66 && Number(own.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) say(`contrast ${ratio.toFixed(2)}`, element, text);
  }
  for (const input of document.querySelectorAll("input")) {
    const ratio = contrast(over(colour(getComputedStyle(input, "::placeholder").color), ground(input)), ground(input));
    if (input.checkVisibility() && ratio < 4.5) say(`contrast of the placeholder ${ratio.toFixed(2)}`, input);
  }
  // What only a colour shows: columns, curves, bars. Parts of a bar are told apart by their neighbours, too.
  for (const drawn of document.querySelectorAll("rect.sent, polyline, .bar i")) {
    if (!drawn.checkVisibility()) continue;
    const own = style(drawn);
    const ink = drawn.localName === "polyline" ? own.stroke : drawn.localName === "rect" ? own.fill : own.backgroundColor;
    const ratio = contrast(over(colour(ink), ground(drawn.parentElement)), ground(drawn.parentElement));
    if (ratio < 3) say(`contrast of a drawing ${ratio.toFixed(2)}`, drawn);
  }
  // A large light area in the dark.
  if (matchMedia("(prefers-color-scheme: dark)").matches && !matchMedia("print").matches) {
    for (const element of document.querySelectorAll("body, body *")) {
      const box = element.getBoundingClientRect(), light = colour(style(element).backgroundColor);
      if (!["iframe", "i"].includes(element.localName) && light[3] > 0.5 && luminance(light) > 0.5 && box.width * box.height > 10000) say("light in the dark", element);
    }
  }

  // Nothing is wider than the window, and no text lies outside of it, is cut, or lies on another one.
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) found.add(`it is scrolled sideways: ${document.documentElement.scrollWidth} of ${width} pixels`);
  const shortened = element => {
    for (let each = element; each; each = each.parentElement) if (style(each).textOverflow === "ellipsis") return true;
    return false;
  };
  const cutBy = (element, box) => {
    for (let each = element; each && each !== document.body; each = each.parentElement) {
      const clips = each.localName === "svg" || /hidden|clip/.test(style(each).overflowX);
      const frame = clips && each.getBoundingClientRect();
      if (frame && (box.left < frame.left - 1 || box.right > frame.right + 1)) return true;
      if (each.localName === "svg" && (box.top < frame.top - 2 || box.bottom > frame.bottom + 2)) return true;
    }
    return box.left < -1 || box.right > width + 1;
  };
  for (const { element, text, boxes, scrolled } of texts) {
    if (!scrolled && !shortened(element) && boxes.some(box => cutBy(element, box))) say("cut", element, text);
  }
  for (const [at, one] of texts.entries()) {
    for (const other of texts.slice(at + 1)) {
      if (one.scrolled !== other.scrolled) continue;
      const overlap = one.shown.some(a => other.shown.some(b =>
        Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 5));
      if (overlap) say(`on “${one.text.trim().slice(0, 30)}”`, other.element, other.text);
    }
  }

  // A finger hits what can be pressed, and everything has a name.
  for (const target of document.querySelectorAll("a[href], button, input, summary, [role=tab], [role=option]")) {
    const box = target.getBoundingClientRect();
    const inText = target.localName === "a" && style(target).display === "inline" && target.parentElement.textContent.trim() !== target.textContent.trim();
    if (target.checkVisibility() && box.width && !inText && (box.width < 24 || box.height < 24)) say(`a target of ${box.width.toFixed()} × ${box.height.toFixed()}`, target, target.textContent);
  }
  if (!document.documentElement.lang) found.add("no language");
  if (!document.title.trim()) found.add("no title");
  for (const picture of document.querySelectorAll("img:not([alt]), svg:not([aria-label]):not([aria-hidden]), iframe:not([title]), [role=img]:not([aria-label])")) say("no name", picture);
  return { found: [...found], lowest };
}

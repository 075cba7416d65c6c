/* Looks at a page of the site in a frame; what is wrong goes to the console. open_site.py calls it. */
const seen = new Set(), frame = document.getElementById("frame");
const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const numbers = color => (color.match(/[\d.]+/g) || []).map(Number);

/* A colour over what is below it; what has no colour lets all through. */
function over(color, below) {
  const [r, g, b, a = 1] = numbers(color);
  return [r, g, b].map((c, k) => a * c + (1 - a) * below[k]);
}

function ground(element, style) {
  if (!element) return [255, 255, 255];
  return over(style(element).backgroundColor, ground(element.parentElement, style));
}

/* Texts that hardly differ from what they stand on, one for each kind of element. */
function faint(page, mode) {
  const {contentDocument: doc, contentWindow: win} = frame, style = element => win.getComputedStyle(element);
  const walker = doc.createTreeWalker(doc.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(element.tagName)) continue;
    const chain = [element, element.parentElement, element.parentElement?.parentElement];
    const kind = mode + chain.map(one => one && `${one.tagName}.${one.className}`).join(" ");
    if (seen.has(kind)) continue;
    if (!element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    seen.add(kind);
    const {color, fontSize, fontWeight} = style(element), below = ground(element, style);
    const [dark, bright] = [light(over(color, below)), light(below)].sort((a, b) => a - b);
    const size = parseFloat(fontSize), large = size >= 24 || (size >= 18.66 && fontWeight >= 700);
    const ratio = (bright + 0.05) / (dark + 0.05);
    if (ratio < (large ? 3 : 4.5))
      console.error(`${page}, ${mode}: contrast ${ratio.toFixed(2)} of "${text.slice(0, 30)}" (${kind.slice(0, 90)})`);
  }
}

function look(page) {
  const {contentDocument: doc, contentWindow: win} = frame, root = doc.documentElement;
  for (const {name} of win.performance.getEntriesByType("resource"))
    if (!name.startsWith(location.origin)) console.error(`${page} wants ${name}`);
  for (const image of doc.images) {
    const src = image.getAttribute("src");
    if (!image.naturalWidth && image.loading != "lazy") console.error(`${page}: ${src} is no picture`);
    const titled = image.closest(".sphx-glr-thumbcontainer");  // its title stands below
    if (!image.alt && !titled) console.error(`${page}: ${src} has no text for who cannot see it`);
  }
  for (const width of [390, 1280]) {
    frame.width = width;
    const more = root.scrollWidth - root.clientWidth;
    if (more > 0) console.error(`${page} is ${more} pixels wider than a window of ${width}`);
    const cut = [...doc.querySelectorAll("h1, h2, h3, p, dt, dd, li, p code")].find(
      e => e.getBoundingClientRect().right > root.clientWidth + 1 && !e.closest("table, pre") && e.checkVisibility());
    if (cut) console.error(`${page}, ${width} pixels: "${cut.textContent.trim().slice(0, 40)}" goes beyond the window`);
  }
  for (const mode of ["light", "dark"]) {
    root.dataset.theme = mode;
    faint(page, mode);
  }
}

function next(k) {
  if (k) look(pages[k - 1]);
  if (k == pages.length) return fetch("/all-opened", {method: "POST"});
  frame.onload = () => setTimeout(() => next(k + 1), 20);
  frame.src = pages[k];
}
next(0);

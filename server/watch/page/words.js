/** Has an element say something; what it says already is left alone, for screen readers and selections. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

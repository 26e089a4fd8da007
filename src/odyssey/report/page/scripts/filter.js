// What may be typed above a column, and into the search field.

const FILTER_HELP =
  "lstm: has these letters · =lstm: is this · !=failed: is not · !gru: has not these letters · " +
  ">0.5, <=1e-3, 10..200: numbers · lstm|gru: either · = alone: empty · != alone: not empty";

/** A test of one cell, or null where nothing is asked. */
function columnFilter(text, kind) {
  const asked = text.trim();
  if (!asked) return null;
  const not = /^!=?/.exec(asked)?.[0] ?? "";
  // Of `!=failed|diverged` the reader means neither.
  const words = asked.slice(not.length).split("|").map((word) => word.trim());
  const tests = words.filter((word) => word || words.length === 1).map((word) => oneTest(word, kind, not));
  if (tests.some((test) => test === null)) return null;
  return not ? (cell) => !tests.some((test) => test(cell)) : (cell) => tests.some((test) => test(cell));
}

/** One alternative; after `!=` a word is a whole value, after `!` a part of one. */
function oneTest(text, kind, not) {
  const [, sign, rest] = /^(<=|>=|<|>|==?)?\s*([^]*)$/.exec(text);
  const number = toNumber(rest);
  if (sign === "=" || sign === "==" || not === "!=") {
    if (rest === "") return isEmpty;
    const small = rest.toLowerCase();
    return (cell) => (!isEmpty(cell) && !Number.isNaN(number) && toNumber(cell) === number) ||
      shownForms(cell, kind).includes(small);
  }
  if (sign) {
    if (rest === "") return null; // not yet typed in full
    const holds = { "<": (d) => d < 0, ">": (d) => d > 0, "<=": (d) => d <= 0, ">=": (d) => d >= 0 }[sign];
    if (Number.isNaN(number)) return (cell) => !isEmpty(cell) && holds(String(cell) < rest ? -1 : String(cell) > rest ? 1 : 0);
    return (cell) => {
      const x = toNumber(cell);
      return !Number.isNaN(x) && holds(x === number ? 0 : x - number);
    };
  }
  if (rest === "") return null;
  const range = /^(.+?)\s*\.\.\s*(.+)$/.exec(rest);
  if (range && NUMERIC.has(kind) && !range.slice(1).some((end) => Number.isNaN(toNumber(end)))) {
    const [low, high] = range.slice(1).map(toNumber);
    return (cell) => toNumber(cell) >= low && toNumber(cell) <= high;
  }
  const small = rest.toLowerCase();
  return (cell) => shownForms(cell, kind).some((form) => form.includes(small));
}

/** A cell as it is shown and as it is stored, in small letters. */
function shownForms(cell, kind) {
  if (isEmpty(cell)) return [];
  const forms = [formatCell(cell, kind).toLowerCase()];
  if (typeof cell !== "object") forms.push(String(cell).toLowerCase());
  return forms;
}

/** A test of a row's text: every word is in it, no -word is; "two words" stay together. */
function searchFilter(text) {
  const words = [...text.toLowerCase().matchAll(/(-?)(?:"([^"]*)"?|(\S+))/g)]
    .map(([, minus, quoted, word]) => ({ not: minus === "-", word: quoted ?? word }))
    .filter(({ word }) => word);
  if (!words.length) return null;
  return (line) => words.every(({ not, word }) => line.includes(word) !== not);
}

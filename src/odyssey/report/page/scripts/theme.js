// Light and dark: as the system has it, until the reader says otherwise.

const SYSTEM_DARK = matchMedia("(prefers-color-scheme: dark)");
const THEMES = ["auto", "light", "dark"];
const THEME_WORDS = { auto: "Auto", light: "Light", dark: "Dark" };
const themeWatchers = [];

const theTheme = () => document.documentElement.dataset.theme;
const isDark = () => theTheme() === "dark" || (theTheme() === "auto" && SYSTEM_DARK.matches);

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  document.documentElement.classList.toggle("dark", isDark());
  const button = byId("theme");
  button.textContent = THEME_WORDS[name];
  const next = THEMES[(THEMES.indexOf(name) + 1) % THEMES.length];
  button.setAttribute("aria-label", `Colours: ${THEME_WORDS[name]}. Change to ${THEME_WORDS[next]}`);
  button.title = name === "auto" ? "Colours follow the system" : `Colours: ${name}`;
  themeWatchers.forEach((watcher) => watcher());
}

function startTheme() {
  let kept = "auto";
  try {
    kept = localStorage.getItem("odyssey-theme") || "auto";
  } catch {
    // A browser may give a file no storage; then the choice lasts as long as the page.
  }
  setTheme(THEMES.includes(kept) ? kept : "auto");
  byId("theme").addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(theTheme()) + 1) % THEMES.length];
    setTheme(next);
    try {
      localStorage.setItem("odyssey-theme", next);
    } catch {
      // As above.
    }
  });
  SYSTEM_DARK.addEventListener("change", () => theTheme() === "auto" && setTheme("auto"));
}

/** A colour of the style sheet, for Plotly, which knows no custom properties. */
const cssColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

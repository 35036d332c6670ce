// Before the first paint: the theme that the reader chose, if any.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // a page whose storage is forbidden follows the system
}

// Runs before anything is drawn, so that a remembered theme does not flash. No module: those wait for the document.
(() => {
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage is forbidden; the system's preference decides.
  }
})();

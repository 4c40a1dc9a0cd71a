const box = document.getElementById("words");
box.closest("label").hidden = false;
box.addEventListener("input", () => {
  const words = box.value.toLowerCase();
  for (const line of document.querySelectorAll(".log li")) {
    line.hidden = words !== "" && !line.textContent.toLowerCase().includes(words);
  }
});

// How an image gets in: chosen, dropped, pasted, or by its address.

import { byId } from "./dom.js";

const isImage = (file) => file.type.startsWith("image/") || /\.(jpe?g|png|webp|gif|bmp|tiff?)$/i.test(file.name);

const firstImage = (files) => [...files].find(isImage) ?? files[0];

/**
 * Listens for images.
 * @param onFile called with a File
 * @param onUrl called with an address
 * @returns {{choose: () => void, setUrlQueries: (allowed: boolean) => void}}
 */
export function listen({ onFile, onUrl }) {
  const input = byId("file");
  const curtain = byId("curtain");
  let urlQueries = false;
  let depth = 0;

  const choose = () => input.click();
  byId("choose").addEventListener("click", choose);
  byId("replace").addEventListener("click", choose);
  input.addEventListener("change", () => {
    if (input.files.length) onFile(input.files[0]);
    input.value = "";
  });

  const carriesImage = (transfer) =>
    transfer.types.includes("Files") || (urlQueries && transfer.types.includes("text/uri-list"));
  addEventListener("dragenter", (event) => {
    if (!carriesImage(event.dataTransfer)) return;
    depth += 1;
    curtain.hidden = false;
    event.preventDefault();
  });
  addEventListener("dragover", (event) => {
    if (carriesImage(event.dataTransfer)) event.preventDefault();
  });
  addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    curtain.hidden = depth === 0;
  });
  addEventListener("drop", (event) => {
    depth = 0;
    curtain.hidden = true;
    if (!carriesImage(event.dataTransfer)) return;
    event.preventDefault();
    const { files } = event.dataTransfer;
    if (files.length) return onFile(firstImage(files));
    const [address] = event.dataTransfer.getData("text/uri-list").split(/\r?\n/);
    if (address) onUrl(address);
  });

  addEventListener("paste", (event) => {
    const { files } = event.clipboardData;
    if (files.length) {
      event.preventDefault();
      return onFile(firstImage(files));
    }
    const text = event.clipboardData.getData("text/plain").trim();
    if (urlQueries && !event.target.matches("input") && /^https?:\/\/\S+$/.test(text)) {
      event.preventDefault();
      onUrl(text);
    }
  });

  byId("url-form").addEventListener("submit", (event) => {
    event.preventDefault();
    onUrl(byId("url").value.trim());
  });

  return {
    choose,
    setUrlQueries(allowed) {
      urlQueries = allowed;
      byId("url-form").hidden = !allowed;
    },
  };
}

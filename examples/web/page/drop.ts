/** Files that are dropped on the page, alone or as a folder. */

/** Takes drops on `target`. */
export function acceptDrops(target: HTMLElement, onFiles: (files: File[], name: string) => void): void {
  // A drop that misses the target would make the browser leave the page.
  for (const event of ["dragover", "drop"]) document.addEventListener(event, (miss) => miss.preventDefault());
  target.addEventListener("dragenter", () => target.classList.add("over"));
  target.addEventListener("dragover", () => target.classList.add("over"));
  target.addEventListener("dragleave", () => target.classList.remove("over"));
  target.addEventListener("drop", (event) => {
    target.classList.remove("over");
    if (event.dataTransfer) void take(event.dataTransfer).then(({ files, name }) => files.length && onFiles(files, name));
  });
}

async function take(data: DataTransfer): Promise<{ files: File[]; name: string }> {
  // The items are gone after the event, so this part may not wait.
  const entries = [...data.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const folder = entries.find((entry): entry is FileSystemDirectoryEntry => entry.isDirectory);
  const inside = folder ? await list(folder) : entries;
  const plain = inside.filter((entry): entry is FileSystemFileEntry => entry.isFile);
  const files = await Promise.all(plain.map((entry) => new Promise<File>((done, fail) => entry.file(done, fail))));
  return { files, name: folder?.name ?? "files of this device" };
}

/** What is in a folder; it is given out in parts, the last of which is empty. */
async function list(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail));
    if (part.length === 0) return all;
    all.push(...part);
  }
}

/* Where the program begins. */
#include "cmd/commands.h"

int main(int argc, char **argv)
{
	return command_main(argc, argv);
}
